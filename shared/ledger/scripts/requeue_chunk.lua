-- Make a failed chunk ready once more. ARGV: names, job id, index, by
-- → 1, or 0 if it has not failed or its job accepts no more work
local id, index = ARGV[2], ARGV[3]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'key')
local chunk = get_chunk(id, index)
if not chunk or chunk.state ~= 'failed' then return 0 end
if not claimable[f[1]] and f[1] ~= 'paused' then return 0 end
redis.call('HINCRBY', job, 'rows_failed', -chunk.failed)
redis.call('HINCRBY', job, 'chunks_ended', -1)
chunk.state, chunk.attempts, chunk.failed, chunk.error = 'ready', 0, nil, nil
put_chunk(id, index, chunk)
redis.call('ZADD', key_of('ready', id), index, index)
note(id, 'chunk_requeued', {chunk = tonumber(index), by = ARGV[4]})
if claimable[f[1]] then enter(id, f[2]) end
publish_event(id)
return 1
