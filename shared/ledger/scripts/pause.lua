-- Start no chunk of the job until it is resumed. ARGV: names, job id, by → the state
local id = ARGV[2]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'key')
if f[1] ~= 'queued' and f[1] ~= 'running' then return f[1] end
redis.call('HSET', job, 'state', 'paused', 'paused_at_ms', now_ms())
note(id, 'paused', {by = ARGV[3]})
leave(id, f[2])
publish_event(id)
return 'paused'
