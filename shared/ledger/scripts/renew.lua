-- Extend the lease of the token. ARGV: names, job id, index, token, lease_ms → 1, or 0 if the lease is lost or the job
-- must stop
local id, index, token = ARGV[2], ARGV[3], ARGV[4]
if not held_chunk(id, index, token) then return 0 end
if not claimable[redis.call('HGET', key_of('job', id), 'state')] then return 0 end
redis.call('ZADD', names.leases, now_ms() + tonumber(ARGV[5]), lease_name(id, index, token))
return 1
