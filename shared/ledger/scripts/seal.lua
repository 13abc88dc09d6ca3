-- The upload is whole: the total is known, and the job may end.
-- ARGV: names, job id, how many chunks it must have or ''
-- → the state; nothing where the job was not uploading; 'torn' where this server lacks some of its chunks
local id = ARGV[2]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'rows_accepted', 'started_at_ms', 'chunks_total')
if f[1] ~= 'uploading' then return false end
if ARGV[3] ~= '' and ARGV[3] ~= f[4] then return 'torn' end
end_upload(id)
redis.call('HSET', job, 'rows_total', f[2], 'state', f[3] and 'running' or 'queued')
tell(id)
end_if_due(id)
return redis.call('HGET', job, 'state')
