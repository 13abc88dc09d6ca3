-- Jobs whose retention is over leave a tombstone, so that who asks learns that they were here.
-- ARGV: names, most jobs, tombstone_ms → {job ids whose rows and results may go, …}
local retired = redis.call('ZRANGEBYSCORE', names.expiring, '-inf', now_ms(), 'LIMIT', 0, tonumber(ARGV[2]))
for _, id in ipairs(retired) do
  local owner = forget(id)
  redis.call('HSET', key_of('job', id), 'state', 'expired', 'owner', owner)
  redis.call('PEXPIRE', key_of('job', id), ARGV[3])
end
return retired
