-- Record the digest of a complete body, for as long as the key is kept. ARGV: names, key, job id, digest, keep_ms
-- → 1, or 0 if this job no longer holds the key
local name = key_of('idempotency', ARGV[2])
if redis.call('HGET', name, 'job') ~= ARGV[3] then return 0 end
redis.call('HSET', name, 'digest', ARGV[4])
redis.call('PEXPIRE', name, ARGV[5])
return 1
