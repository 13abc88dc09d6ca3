-- Replace jobs whose retention is over by a tombstone, so that a later request learns that the job has expired. They
-- are due again until the removal of their data is confirmed (`removed`).
-- ARGV: names, limit of jobs, tombstone_ms, again_ms → {ids of jobs whose rows and results may be removed, …}
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', names.expiring, '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))

local function leave_tombstone(id)
  local job = key_of('job', id)
  if redis.call('HEXISTS', job, 'created_at_ms') == 0 then return end
  local owner = forget(id)
  redis.call('ZADD', names.expiring, now + tonumber(ARGV[4]), id)
  redis.call('HSET', job, 'state', 'expired', 'owner', owner)
  redis.call('PEXPIRE', job, ARGV[3])
end

for _, id in ipairs(due) do
  redis.call('ZADD', names.expiring, now + tonumber(ARGV[4]), id)
  guarded(id, leave_tombstone)
end
return due
