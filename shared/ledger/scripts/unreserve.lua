-- Free the Idempotency-Key of a job that was never recorded. ARGV: names, key, job id
-- → 1, or 0 if another job holds the key
local name = key_of('idempotency', ARGV[2])
if redis.call('HGET', name, 'job') ~= ARGV[3] then return 0 end
return redis.call('DEL', name)
