-- Leases that ran out: their chunks are ready again, and uploads that broke off fail.
-- ARGV: names, most leases to look at → {job ids whose upload was interrupted, …}
local interrupted = {}

for _, name in ipairs(redis.call('ZRANGEBYSCORE', names.leases, '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[2]))) do
  redis.call('ZREM', names.leases, name) -- also where its job was forgotten meanwhile
  local id, index, token = string.match(name, '^([^:]+):([^:]+):(.*)$')
  local chunk = held_chunk(id, index, token)
  if chunk then
    release(id, index, chunk)
  elseif redis.call('HGET', key_of('job', id), 'upload_token') == token then
    fail(id, 'upload_interrupted', 'The upload broke off before its end.')
    table.insert(interrupted, id)
  end
end
return interrupted
