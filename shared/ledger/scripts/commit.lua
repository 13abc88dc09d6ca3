-- A chunk's result counts: only under the current token, and only once.
-- ARGV: names, job id, index, token, rows succeeded, rows failed, what its first failed row says
-- → {outcome, ready chunks of the model version}; outcome: committed | repeated | lost
local id, index, token = ARGV[2], ARGV[3], ARGV[4]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'key')
local chunk = get_chunk(id, index)
if chunk and chunk.state == 'done' and chunk.token == token then return {'repeated', 0} end
redis.call('ZREM', names.leases, lease_name(id, index, token))
if not f[1] or terminal[f[1]] or not chunk or chunk.state ~= 'leased' or chunk.token ~= token then
  return {'lost', 0}
end
chunk.state, chunk.failed = 'done', tonumber(ARGV[6])
redis.call('HINCRBY', job, 'chunks_leased', -1)
if ARGV[7] ~= '' then redis.call('HSETNX', job, 'first_errors', ARGV[7]) end
end_chunk(id, index, chunk, tonumber(ARGV[5]), tonumber(ARGV[6]))
return {'committed', ready_chunks(f[2])}
