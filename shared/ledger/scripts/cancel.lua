-- Start no more chunks of the job; it is canceled when no chunk runs. ARGV: names, job id, by
-- → the state
local id = ARGV[2]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'key')
if not f[1] or terminal[f[1]] or f[1] == 'canceling' then return f[1] end
if f[1] == 'uploading' then
  end_upload(id)
  free_key(id)
end
redis.call('HSET', job, 'state', 'canceling')
note(id, 'cancel_requested', {by = ARGV[3]})
leave(id, f[2])
publish_event(id)
end_if_due(id)
return redis.call('HGET', job, 'state')
