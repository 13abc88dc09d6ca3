-- The job ends as failed, with its reason; chunks that still run lose their lease.
-- ARGV: names, job id, code, detail → 1, or 0 where it had ended before
local state = redis.call('HGET', key_of('job', ARGV[2]), 'state')
if not state or terminal[state] then return 0 end
fail(ARGV[2], ARGV[3], ARGV[4])
return 1
