-- Lease an Idempotency-Key to a job while its body is read.
-- ARGV: names, key, job id, lease_ms → nil: leased to this job; or {id of its holder, digest of the holder's body or ''}
local name, id = key_of('idempotency', ARGV[2]), ARGV[3]
local f = redis.call('HMGET', name, 'job', 'digest')
if f[1] == id then return false end
if f[1] then return {f[1], f[2] or ''} end
redis.call('HSET', name, 'job', id)
redis.call('PEXPIRE', name, ARGV[4])
return false
