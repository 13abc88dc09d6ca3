-- Leases that ran out: their chunks are ready again, and uploads that broke off fail.
-- ARGV: names, most leases to look at → {job ids whose upload was interrupted, …}
local interrupted = {}
local names_out = redis.call('ZRANGEBYSCORE', names.leases, '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[2]))
for _, name in ipairs(names_out) do
  redis.call('ZREM', names.leases, name)
  local id, index, token = string.match(name, '^([^:]+):([^:]+):(.*)$')
  local job = key_of('job', id)
  local state = redis.call('HGET', job, 'state')
  if state and not terminal[state] then
    if index == 'upload' then
      redis.call('HSET', job, 'error_code', 'upload_interrupted',
        'error_detail', 'The upload broke off before its end.')
      end_job(id, 'failed')
      table.insert(interrupted, id)
    else
      local chunk = get_chunk(id, index)
      if chunk and chunk.state == 'leased' and chunk.token == token then
        chunk.state, chunk.token, chunk.worker = 'ready', nil, nil
        put_chunk(id, index, chunk)
        redis.call('ZADD', key_of('ready', id), index, index)
      end
    end
  end
end
return interrupted
