-- The holder of the token cannot go on: the chunk is ready again at once. A worker that merely stops was not
-- at fault, and the attempt does not count. ARGV: names, job id, index, token, counts (0|1)
-- → ready chunks of the model version; 0 where the lease was lost
local id, index, token = ARGV[2], ARGV[3], ARGV[4]
redis.call('ZREM', names.leases, lease_name(id, index, token))
local f = redis.call('HMGET', key_of('job', id), 'state', 'key')
local chunk = get_chunk(id, index)
if not f[1] or terminal[f[1]] or not chunk or chunk.state ~= 'leased' or chunk.token ~= token then return 0 end
if ARGV[5] == '0' then chunk.attempts = chunk.attempts - 1 end
release(id, index, chunk)
return ready_chunks(f[2])
