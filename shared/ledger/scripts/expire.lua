-- Leases that ran out: their chunks are ready again, and uploads that broke off fail.
-- ARGV: names, most leases to look at → {job ids whose upload was interrupted, …}
local interrupted = {}

local function bring_back(id, index, token)
  local chunk = get_chunk(id, index)
  if chunk and chunk.state == 'leased' and chunk.token == token then release(id, index, chunk) end
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', names.leases, '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[2]))) do
  redis.call('ZREM', names.leases, name)
  local id, index, token = string.match(name, '^([^:]+):([^:]+):(.*)$')
  local state = redis.call('HGET', key_of('job', id), 'state')
  if state and not terminal[state] then
    if index == 'upload' then
      fail(id, 'upload_interrupted', 'The upload broke off before its end.')
      table.insert(interrupted, id)
    else
      bring_back(id, index, token)
    end
  end
end
return interrupted
