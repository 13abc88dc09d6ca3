-- Remove an ended job. ARGV: names, job id → 1, or 0 if there is no such ended job
local state = redis.call('HGET', key_of('job', ARGV[2]), 'state')
if not terminal[state] or state == 'expired' then return 0 end
forget(ARGV[2])
return 1
