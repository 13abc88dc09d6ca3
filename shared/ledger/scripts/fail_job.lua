-- The job ends as failed, with its reason; chunks that still run lose their lease.
-- ARGV: names, job id, code, detail → 1, or 0 where it had ended before
local id = ARGV[2]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'upload_token')
if not f[1] or terminal[f[1]] then return 0 end
redis.call('ZREM', names.leases, lease_name(id, 'upload', f[2]))
redis.call('HSET', job, 'error_code', ARGV[3], 'error_detail', ARGV[4])
end_job(id, 'failed')
return 1
