-- The stored result of a chunk is lost or damaged: the chunk is ready again, and its job runs again if it had
-- succeeded. If the job has ended in another way, or if this chunk's result was lost several times, the chunk fails.
-- ARGV: names, job id, index, token of the lost result, reason → 'ready' | 'failed'; 'stale' if the chunk has no
-- result of this token: another caller was first, or the job is gone
local most_recomputed = 3
local id, index, token, reason = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'key', 'errors_named')
local chunk = get_chunk(id, index)
if not f[1] or not chunk or chunk.state ~= 'done' or chunk.token ~= token then return 'stale' end

local function takes_work()
  return claimable[f[1]] or f[1] == 'paused' or f[1] == 'succeeded'
end

local function uncount()
  redis.call('HINCRBY', job, 'rows_succeeded', chunk.failed - chunk.rows)
  redis.call('HINCRBY', job, 'rows_failed', 0 - chunk.failed)
  redis.call('HINCRBY', job, 'chunks_ended', -1)
  redis.call('HDEL', key_of('inline', id), 'result')
end

local function forget_named_errors()
  local kept = {}
  for _, named in ipairs(cjson.decode(f[3] or '[]')) do
    if named[1] ~= tonumber(index) then table.insert(kept, named) end
  end
  if #kept > 0 then redis.call('HSET', job, 'errors_named', cjson.encode(kept)) else redis.call('HDEL', job, 'errors_named') end
end

local function run_again()
  if f[1] == 'succeeded' then
    redis.call('HSET', job, 'state', 'running')
    redis.call('HDEL', job, 'finished_at_ms')
    for _, ended in ipairs({names.expiring, names.webhooks}) do redis.call('ZREM', ended, id) end
    redis.call('ZADD', key_of('open_jobs', owner_of(id)), redis.call('HGET', job, 'created_at_ms'), id)
  end
  chunk.state, chunk.attempts, chunk.token, chunk.failed, chunk.error = 'ready', 0, nil, nil, nil
  chunk.recomputed = (chunk.recomputed or 0) + 1
  put_chunk(id, index, chunk)
  redis.call('ZADD', key_of('ready', id), index, index)
  if f[1] ~= 'paused' then enter(id, f[2]) end
  publish_event(id)
  return 'ready'
end

local function give_up()
  chunk.state, chunk.token, chunk.failed, chunk.error = 'failed', nil, chunk.rows, reason
  put_chunk(id, index, chunk)
  redis.call('HINCRBY', job, 'rows_failed', chunk.rows)
  redis.call('HINCRBY', job, 'chunks_ended', 1)
  name_errors(id, index, {{key = reason, text = reason, rows = chunk.rows, first = 'chunk ' .. index}})
  publish_event(id)
  note(id, 'chunk_failed', {chunk = tonumber(index), reason = reason})
  if not terminal[f[1]] then end_if_due(id) end
  return 'failed'
end

note(id, 'result_lost', {chunk = tonumber(index), reason = reason})
uncount()
forget_named_errors()
if takes_work() and (chunk.recomputed or 0) < most_recomputed then return run_again() end
return give_up()
