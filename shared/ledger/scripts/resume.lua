-- Continue a paused job. ARGV: names, job id, by → {the state, chunks that became ready}
local id = ARGV[2]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'key', 'started_at_ms', 'paused_at_ms')
if f[1] ~= 'paused' then return {f[1], 0} end
local state = f[3] and 'running' or 'queued'
redis.call('HSET', job, 'state', state)
redis.call('HDEL', job, 'paused_at_ms')
if f[3] then redis.call('HINCRBY', job, 'paused_ms', now_ms() - tonumber(f[4] or now_ms())) end
note(id, 'resumed', {by = ARGV[3]})
enter(id, f[2])
publish_event(id)
return {state, redis.call('ZCARD', key_of('ready', id))}
