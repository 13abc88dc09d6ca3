-- The next ready chunk of the least-served job of a model version, under a new lease and token, and where that is
-- small those after it in this order, up to the first that is not. Chunks that were tried too often are given up on
-- the way.
-- ARGV: names, model key, worker, token, lease_ms, max_attempts, digest of the artifact or '' for any,
-- most chunks, most rows of several
-- → {{job id, index, rows, attempt, token, traceparent or '', its rows' bytes or ''}, …}
local model, worker = ARGV[2], ARGV[3]
local lease_ms, max_attempts, digest = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local most, most_rows = tonumber(ARGV[8]), tonumber(ARGV[9])

local passed = 0 -- jobs that others have to run
local claims, claimed_rows = {}, 0

local function next_job()
  return redis.call('ZRANGE', key_of('active', model), passed, passed)[1]
end

local function inline_rows(id)
  return redis.call('HGET', key_of('inline', id), 'rows') or ''
end

local function next_token()
  return #claims == 0 and ARGV[4] or ARGV[4] .. '-' .. #claims
end

local function lease(id, index, chunk)
  local job, now, token = key_of('job', id), now_ms(), next_token()
  chunk.state, chunk.token, chunk.worker, chunk.attempts = 'leased', token, worker, chunk.attempts + 1
  put_chunk(id, index, chunk)
  redis.call('ZADD', names.leases, now + lease_ms, lease_name(id, index, token))
  redis.call('HINCRBY', job, 'chunks_leased', 1)
  redis.call('HSETNX', job, 'started_at_ms', now)
  if redis.call('HGET', job, 'state') == 'queued' then
    redis.call('HSET', job, 'state', 'running')
    tell(id)
  end
  local traceparent = redis.call('HGET', job, 'traceparent') or ''
  return {id, tonumber(index), chunk.rows, chunk.attempts, token, traceparent, inline_rows(id)}
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

-- Only what lies in the ledger runs together, and only at its first attempt: what ends a worker then runs alone.
local function is_small(attempts, data)
  return attempts == 1 and data ~= ''
end

-- Whether the job's next chunk is small, too, and there is room for it.
local function may_join(id)
  local index = redis.call('ZRANGE', key_of('ready', id), 0, 0)[1]
  local chunk = index and get_chunk(id, index)
  return chunk and is_small(chunk.attempts + 1, inline_rows(id)) and claimed_rows + chunk.rows <= most_rows
end

-- → whether there may be more
local function add(claim)
  table.insert(claims, claim)
  claimed_rows = claimed_rows + claim[3]
  return #claims < most and is_small(claim[4], claim[7])
end

local id, goes_on = next_job(), true
while id and goes_on do
  if is_for_others(id) then
    passed = passed + 1
  else
    local known, joins = true, true
    if #claims > 0 then known, joins = pcall(may_join, id) end
    if not (known and joins) then break end
    local claim = guarded(id, claim_of, model)
    if claim then goes_on = add(claim) end
  end
  id = next_job()
end
return claims
