-- Give up a chunk: it is ready again at once. If the worker is only stopping, the attempt does not count.
-- ARGV: names, job id, index, token, whether the attempt counts (0|1), model key, reason for the rows if this was the
-- last attempt or '', delay_ms until the chunk is ready
-- → whether anything of the model version is ready
local id, index, token = ARGV[2], ARGV[3], ARGV[4]
local chunk = held_chunk(id, index, token)
if chunk then
  if ARGV[5] == '0' then
    chunk.attempts = chunk.attempts - 1
  else
    note_attempt(id, index, chunk, ARGV[7])
  end
  chunk.reason = ARGV[7] ~= '' and ARGV[7] or nil
  local delay_ms = tonumber(ARGV[8]) or 0
  if delay_ms > 0 then
    chunk.waits = true
    put_chunk(id, index, chunk) -- its lease ends after the delay, and the reconciler makes it ready
    redis.call('ZADD', names.leases, now_ms() + delay_ms, lease_name(id, index, token))
  else
    guarded(id, function() release(id, index, chunk) end)
  end
end
return anything_ready(ARGV[6])
