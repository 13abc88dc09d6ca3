-- A job that has ended is forgotten. ARGV: names, job id → 1, or 0 where there is none that has ended
local state = redis.call('HGET', key_of('job', ARGV[2]), 'state')
if not terminal[state] or state == 'expired' then return 0 end
forget(ARGV[2])
return 1
