-- No chunk of the job starts any more; it is canceled once none runs. ARGV: names, job id → the state
local id = ARGV[2]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'key', 'upload_token')
if not f[1] or terminal[f[1]] then return f[1] end
redis.call('ZREM', names.leases, lease_name(id, 'upload', f[3]))
redis.call('HSET', job, 'state', 'canceling')
deactivate(id, f[2])
tell(id)
end_if_due(id)
return redis.call('HGET', job, 'state')
