-- Record an attempt. It is recorded in any case; only the holder of the lease sets the next due time.
-- ARGV: names, job id, due_ms of the lease, status or '', error or '', delay_ms or '' → 1, or 0 if the lease was lost
local id = ARGV[2]
local held = tonumber(redis.call('ZSCORE', names.webhooks, id) or -1) == tonumber(ARGV[3])
local state = redis.call('HGET', key_of('job', id), 'state')
if not state or state == 'expired' then
  redis.call('ZREM', names.webhooks, id)
  return 0
end
local next_at = ARGV[6] ~= '' and now_ms() + tonumber(ARGV[6]) or ''
redis.call('XADD', key_of('webhook', id), '*', 'status', ARGV[4], 'error', ARGV[5], 'next_at_ms', next_at)
if not held then return 0 end
if next_at == '' then
  redis.call('ZREM', names.webhooks, id)
else
  redis.call('ZADD', names.webhooks, next_at, id)
end
return 1
