-- Record a new job before the first byte of its body is read: `uploading`, under the gateway's lease.
-- ARGV: names, job id, owner, upload token, lease_ms, then field, value, … of the record
-- → created_at_ms; -limit if the owner's unfinished jobs have reached the limit; nil if the id is taken
local id, owner, token, lease_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local job = key_of('job', id)
if redis.call('EXISTS', job) == 1 then return false end
local most = exceeded_max_jobs(owner)
if most then return -most end
local now = now_ms()
redis.call('HSET', job, 'state', 'uploading', 'created_at_ms', now, 'upload_token', token,
  'rows_accepted', 0, 'rows_succeeded', 0, 'rows_failed', 0,
  'chunks_total', 0, 'chunks_ended', 0, 'chunks_leased', 0,
  unpack(ARGV, 6))
redis.call('ZADD', names.jobs, now, id)
redis.call('ZADD', key_of('owner_jobs', owner), now, id)
redis.call('ZADD', key_of('open_jobs', owner), now, id)
redis.call('ZADD', names.leases, now + lease_ms, lease_name(id, 'upload', token))
publish_event(id)
return now
