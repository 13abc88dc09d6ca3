-- Set the priority from the next claim on. ARGV: names, job id, priority, by → the state
local job = key_of('job', ARGV[2])
local f = redis.call('HMGET', job, 'state', 'priority')
if f[1] and not terminal[f[1]] and f[2] ~= ARGV[3] then
  redis.call('HSET', job, 'priority', ARGV[3])
  note(ARGV[2], 'priority_changed', {priority = tonumber(ARGV[3]), by = ARGV[4]})
end
return f[1]
