-- The upload is whole: the total is known, and the job may end.
-- ARGV: names, job id → the state, or nothing where the job was not uploading
local id = ARGV[2]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'rows_accepted', 'started_at_ms')
if f[1] ~= 'uploading' then return false end
end_upload(id)
redis.call('HSET', job, 'rows_total', f[2], 'state', f[3] and 'running' or 'queued')
tell(id)
end_if_due(id)
return redis.call('HGET', job, 'state')
