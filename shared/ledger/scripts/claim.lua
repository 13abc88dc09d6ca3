-- The next ready chunk of the least-served job of a model version, under a new lease and token.
-- ARGV: names, model key, worker, token, lease_ms, max_attempts
-- → {job id, index, rows, attempt, chunks that it failed for good}, or only the last where nothing is ready
local model, worker, token = ARGV[2], ARGV[3], ARGV[4]
local lease_ms, max_attempts = tonumber(ARGV[5]), tonumber(ARGV[6])
local active = key_of('active', model)
local given_up = 0

local function give_up(id, index, chunk)
  chunk.state = 'failed'
  chunk.error = 'tried ' .. chunk.attempts .. ' times; no worker finished it'
  given_up = given_up + 1
  end_chunk(id, index, chunk, 0, chunk.rows)
end

local function lease(id, index, chunk)
  chunk.state, chunk.token, chunk.worker, chunk.attempts = 'leased', token, worker, chunk.attempts + 1
  put_chunk(id, index, chunk)
  redis.call('ZADD', names.leases, now_ms() + lease_ms, lease_name(id, index, token))
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'priority')
  redis.call('ZINCRBY', active, chunk.rows / (tonumber(f[2]) + 1), id)
  redis.call('HINCRBY', job, 'chunks_leased', 1)
  redis.call('HSETNX', job, 'started_at_ms', now_ms())
  if f[1] == 'queued' then
    redis.call('HSET', job, 'state', 'running')
    tell(id)
  end
  return {id, tonumber(index), chunk.rows, chunk.attempts, given_up}
end

for _, id in ipairs(redis.call('ZRANGE', active, 0, -1)) do
  local index = redis.call('ZPOPMIN', key_of('ready', id))[1]
  while index do
    local chunk = get_chunk(id, index)
    if chunk.attempts < max_attempts then return lease(id, index, chunk) end
    give_up(id, index, chunk)
    index = redis.call('ZPOPMIN', key_of('ready', id))[1]
  end
end
return {given_up}
