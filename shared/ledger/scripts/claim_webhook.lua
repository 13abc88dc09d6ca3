-- Claim the webhook with the earliest due time. The lease is its next due time: if the worker dies, another claims it.
-- ARGV: names, lease_ms → {job id, due_ms of the lease, now_ms, earlier attempts}, or nil if none is due
local now = now_ms()
local id = redis.call('ZRANGEBYSCORE', names.webhooks, '-inf', now, 'LIMIT', 0, 1)[1]
if not id then return false end
local due = now + tonumber(ARGV[2])
redis.call('ZADD', names.webhooks, due, id)
return {id, due, now, redis.call('XLEN', key_of('webhook', id))}
