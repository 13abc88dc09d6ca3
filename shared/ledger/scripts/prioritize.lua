-- Set the weight from the next claim on. ARGV: names, job id, priority → the state
local job = key_of('job', ARGV[2])
local state = redis.call('HGET', job, 'state')
if state and not terminal[state] then redis.call('HSET', job, 'priority', ARGV[3]) end
return state
