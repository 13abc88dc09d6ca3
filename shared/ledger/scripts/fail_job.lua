-- The job ends as failed, with its reason; what still runs of it no longer counts.
-- ARGV: names, job id, code, detail → 1, or 0 where it has ended or is being canceled
local state = redis.call('HGET', key_of('job', ARGV[2]), 'state')
if not state or terminal[state] or state == 'canceling' then return 0 end
fail(ARGV[2], ARGV[3], ARGV[4])
return 1
