-- A write after all writes of a job: waiting for it (WAITAOF, WAIT) waits for all of them.
-- ARGV: names, job id → 1, or 0 if the server does not know the job
local job = key_of('job', ARGV[2])
if redis.call('EXISTS', job) == 0 then return 0 end
redis.call('HSET', job, 'fence', 1)
return 1
