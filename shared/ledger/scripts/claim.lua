-- Claim the next ready chunk of a model version: the least-served owner's least-served job, under a new lease and token.
-- If the chunk is small, also claim the chunks after it in this order, up to the first that is not small. Chunks with
-- too many attempts are given up on the way.
-- ARGV: names, model key, worker, token, lease_ms, max_attempts, digest of the artifact or '' for any,
-- limit of chunks, limit of rows of several chunks, digest of the spec or '' for any
-- → {{job id, index, rows, attempt, token, traceparent or '', bytes of its rows or '', their digest or ''}, …}
local model, worker = ARGV[2], ARGV[3]
local lease_ms, max_attempts, digest = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local most, most_rows, spec_digest = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]

local passed = {} -- owner → number of jobs that other workers have to run
local claims, claimed_rows = {}, 0

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
  count_running(owner_of(id), lease_name(id, index, token), chunk.rows)
  redis.call('HINCRBY', job, 'chunks_leased', 1)
  redis.call('HSETNX', job, 'started_at_ms', now)
  if redis.call('HGET', job, 'state') == 'queued' then
    redis.call('HSET', job, 'state', 'running')
    publish_event(id)
  end
  local traceparent = redis.call('HGET', job, 'traceparent') or ''
  local recorded = chunk.rows_digest or ''
  return {id, tonumber(index), chunk.rows, chunk.attempts, token, traceparent, inline_rows(id), recorded}
end

local function give_up(id, index, chunk)
  chunk.state = 'failed'
  chunk.error = chunk.reason or 'tried ' .. chunk.attempts .. ' times (TAKT_MAX_ATTEMPTS); no worker finished it'
  local place = 'chunk ' .. index
  name_errors(id, index, {{key = chunk.error, text = chunk.error, rows = chunk.rows, first = place}})
  end_chunk(id, index, chunk, 0, chunk.rows)
end

-- → the claim, or nil if the job's next chunk was given up
local function claim_of(id)
  local index = redis.call('ZPOPMIN', key_of('ready', id))[1]
  local chunk, text = get_chunk(id, index)
  charge(id, model, chunk and chunk.rows or 0)
  if not chunk then
    fail_corrupt_chunk(id, index, text)
  elseif chunk.attempts < max_attempts then
    return lease(id, index, chunk)
  else
    give_up(id, index, chunk)
  end
end

-- Whether a job was submitted for another spec than this worker's. Jobs of an older gateway name no spec.
local function is_of_other_spec(named)
  return spec_digest ~= '' and named and named ~= '' and named ~= spec_digest
end

-- Whether other workers have to run the job: a newer worker, or a worker with the artifact and the spec that it was
-- submitted for.
local function is_for_others(id)
  if of_newer_schema(id) then return true end
  if digest == '' and spec_digest == '' then return false end
  local f = redis.call('HMGET', key_of('job', id), 'digest', 'spec_digest')
  return digest ~= '' and f[1] ~= digest or is_of_other_spec(f[2])
end

-- Only inline chunks run together, and only at their first attempt: a chunk that ended a worker then runs alone.
local function is_small(attempts, data)
  return attempts == 1 and data ~= ''
end

-- Whether the job's next chunk is small too, and fits.
local function may_join(id)
  local index = redis.call('ZRANGE', key_of('ready', id), 0, 0)[1]
  local chunk = index and get_chunk(id, index)
  return chunk and is_small(chunk.attempts + 1, inline_rows(id)) and claimed_rows + chunk.rows <= most_rows
end

-- → whether more chunks may be claimed
local function add(claim)
  table.insert(claims, claim)
  claimed_rows = claimed_rows + claim[3]
  return #claims < most and is_small(claim[4], claim[7])
end

if is_unsettled(model) then adopt(model) end
local goes_on = true
local id, owner = next_in_order(model, passed)
while id and goes_on do
  if is_for_others(id) then
    passed[owner] = (passed[owner] or 0) + 1
  else
    local known, joins = true, true
    if #claims > 0 then known, joins = pcall(may_join, id) end
    if not (known and joins) then break end
    local claim = guarded(id, claim_of, model)
    if claim then goes_on = add(claim) end
  end
  id, owner = next_in_order(model, passed)
end
return claims
