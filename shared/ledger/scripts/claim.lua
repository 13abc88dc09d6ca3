-- The next ready chunk of the least-served job of a model version, under a new lease and token. Chunks that
-- were tried too often are given up on the way.
-- ARGV: names, model key, worker, token, lease_ms, max_attempts, digest of the artifact or '' for any
-- → {job id, index, rows, attempt, traceparent or ''}, or nothing where nothing is ready
local model, worker, token = ARGV[2], ARGV[3], ARGV[4]
local lease_ms, max_attempts, digest = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]

local passed = 0 -- jobs that others have to run

local function next_job()
  return redis.call('ZRANGE', key_of('active', model), passed, passed)[1]
end

local function lease(id, index, chunk)
  local job, now = key_of('job', id), now_ms()
  chunk.state, chunk.token, chunk.worker, chunk.attempts = 'leased', token, worker, chunk.attempts + 1
  put_chunk(id, index, chunk)
  redis.call('ZADD', names.leases, now + lease_ms, lease_name(id, index, token))
  redis.call('HINCRBY', job, 'chunks_leased', 1)
  redis.call('HSETNX', job, 'started_at_ms', now)
  if redis.call('HGET', job, 'state') == 'queued' then
    redis.call('HSET', job, 'state', 'running')
    tell(id)
  end
  return {id, tonumber(index), chunk.rows, chunk.attempts, redis.call('HGET', job, 'traceparent') or ''}
end

local function give_up(id, index, chunk)
  chunk.state = 'failed'
  chunk.error = 'tried ' .. chunk.attempts .. ' times; no worker finished it'
  end_chunk(id, index, chunk, 0, chunk.rows)
end

-- → the claim, or nothing where the job's next chunk was given up
local function claim_of(id)
  local index = redis.call('ZPOPMIN', key_of('ready', id))[1]
  local chunk, text = get_chunk(id, index)
  charge(id, model, chunk and chunk.rows or 0)
  if not chunk then
    condemn(id, index, text)
  elseif chunk.attempts < max_attempts then
    return lease(id, index, chunk)
  else
    give_up(id, index, chunk)
  end
end

-- A newer worker understands it, or one with the artifact that it was submitted for: another answers otherwise.
local function is_for_others(id)
  return of_newer_schema(id) or digest ~= '' and redis.call('HGET', key_of('job', id), 'digest') ~= digest
end

local id = next_job()
while id do
  if is_for_others(id) then
    passed = passed + 1
  else
    local claimed = guarded(id, claim_of, model)
    if claimed then return claimed end
  end
  id = next_job()
end
return false
