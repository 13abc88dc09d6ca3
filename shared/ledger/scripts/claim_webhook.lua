-- The webhook that is due longest. The lease is its next due time: who dies with it leaves it to another.
-- ARGV: names, lease_ms → {job id, due_ms of the lease, now_ms, attempts before}, or nothing where none is due
local now = now_ms()
local id = redis.call('ZRANGEBYSCORE', names.webhooks, '-inf', now, 'LIMIT', 0, 1)[1]
if not id then return false end
local due = now + tonumber(ARGV[2])
redis.call('ZADD', names.webhooks, due, id)
return {id, due, now, redis.call('XLEN', key_of('webhook', id))}
