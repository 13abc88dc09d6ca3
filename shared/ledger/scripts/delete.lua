-- A job that has ended is forgotten. ARGV: names, job id → 1, or 0 where it has not ended
local state = redis.call('HGET', key_of('job', ARGV[2]), 'state')
if not state or not terminal[state] then return 0 end
forget(ARGV[2])
return 1
