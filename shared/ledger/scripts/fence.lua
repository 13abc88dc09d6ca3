-- A write that stands behind all that was written of a job: who waits for this one (WAITAOF, WAIT) has all of it.
-- ARGV: names, job id → 1, or 0 where the server does not know the job (any more)
local job = key_of('job', ARGV[2])
if redis.call('EXISTS', job) == 0 then return 0 end
redis.call('HSET', job, 'fence', 1)
return 1
