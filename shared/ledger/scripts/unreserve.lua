-- The idempotency key of a job that never came to be is free again. ARGV: names, key, job id
-- → 1, or 0 where the key is another job's
local name = key_of('idempotency', ARGV[2])
if redis.call('HGET', name, 'job') ~= ARGV[3] then return 0 end
return redis.call('DEL', name)
