-- The fair order of a model version's chunks, in two levels: first between owners, then between one owner's jobs.
-- Both levels use start-time fair queueing (Goyal, Vin, Cheng 1996).
--
-- A tag is the number of rows served, divided by a weight. The lowest tag is served next. A level's clock is the tag
-- of its last claim. A job that enters gets at least the clock as its tag: idle time earns no credit, and a job that
-- leaves and returns keeps the rows that it was served in advance. An owner that enters may start one chunk before
-- the clock, because workers still run chunks of other owners that were claimed before it came.
--
-- `owners`        owner → tag; the weight is that of the owner's share
-- `owner_active`  job → tag, for each owner; the weight is the job's priority + 1
-- `active`        the same jobs and tags of all owners: it defines which jobs take part. Programs of the previous
--                 version know only this set. A job that they removed from it is dropped below; a job that they added
--                 is placed by `adopt`.
-- `placed`        job → owner, of the jobs that are in an `owner_active`

local function owner_of(id)
  return redis.call('HGET', key_of('job', id), 'owner') or ''
end

-- A number of `fair_times`, or `other` if it is missing.
local function fair_time(model, field, other)
  return tonumber(redis.call('HGET', key_of('fair_times', model), field) or other) or 0
end

-- The clock of an owner's jobs begins at the clock of all jobs, from which their tags came before there were two levels.
local function job_clock(model, owner)
  local begins = redis.call('HGET', names.clocks, model)
  redis.call('HSETNX', key_of('fair_times', model), 'jobs:' .. owner, tonumber(begins) or 0)
  return fair_time(model, 'jobs:' .. owner, 0)
end

-- The least tag of an owner: the clock less the cost of the last claimed chunk.
local function earliest_tag(model)
  return fair_time(model, 'clock', 0) - fair_time(model, 'chunk', 0)
end

local function enter(id, model)
  if redis.call('EXISTS', key_of('ready', id)) == 0 then return end
  redis.call('HSETNX', names.clocks, model, 0)
  local of_job = redis.call('HMGET', key_of('job', id), 'owner', 'tag')
  local active, owner = key_of('active', model), of_job[1] or ''
  local times = redis.call('HMGET', key_of('fair_times', model), 'jobs:' .. owner, 'clock', 'chunk', 'owner:' .. owner)
  local tag = tonumber(redis.call('ZSCORE', active, id))
  if not tag then
    tag = math.max(tonumber(times[1]) or job_clock(model, owner), tonumber(of_job[2] or 0))
  end
  redis.call('ZADD', active, 'NX', tag, id)
  redis.call('ZADD', key_of('owner_active', model, owner), 'NX', tag, id)
  redis.call('HSET', key_of('placed', model), id, owner)
  local earliest = tonumber(times[2] or 0) - tonumber(times[3] or 0)
  redis.call('ZADD', key_of('owners', model), 'NX', math.max(earliest, tonumber(times[4] or 0)), owner)
end

local function drop(id, model, owner)
  local line = key_of('owner_active', model, owner)
  redis.call('HDEL', key_of('placed', model), id)
  redis.call('ZREM', line, id)
  if redis.call('EXISTS', line) == 0 then redis.call('ZREM', key_of('owners', model), owner) end
end

local function leave(id, model)
  redis.call('ZREM', key_of('active', model), id)
  local owner = redis.call('HGET', key_of('placed', model), id)
  if owner then drop(id, model, owner) end
end

-- An owner that could claim no chunk for a while starts like an owner that enters.
local function charge_owner(owner, model, rows)
  local owners, cost = key_of('owners', model), rows / weight_of(owner)
  local start = math.max(tonumber(redis.call('ZSCORE', owners, owner)), earliest_tag(model))
  local clock, next_tag = math.max(fair_time(model, 'clock', 0), start), start + cost
  redis.call('HSET', key_of('fair_times', model), 'clock', clock, 'chunk', cost, 'owner:' .. owner, next_tag)
  redis.call('ZADD', owners, next_tag, owner)
end

-- Charge the job for a chunk that was removed from `ready`.
local function charge(id, model, rows)
  local job, owner = key_of('job', id), redis.call('HGET', key_of('placed', model), id)
  local line = key_of('owner_active', model, owner)
  local tag, priority = redis.call('ZSCORE', line, id), redis.call('HGET', job, 'priority')
  local next_tag = tonumber(tag) + rows / (tonumber(priority) + 1)
  redis.call('HSET', names.clocks, model, tag)
  redis.call('HSET', key_of('fair_times', model), 'jobs:' .. owner, tag)
  redis.call('HSET', job, 'tag', next_tag)
  redis.call('ZADD', line, next_tag, id)
  redis.call('ZADD', key_of('active', model), next_tag, id)
  charge_owner(owner, model, rows)
  if redis.call('EXISTS', key_of('ready', id)) == 0 then leave(id, model) end
end

-- Whether the job takes part and has a chunk: a program of the previous version may have changed that.
local function is_waiting(id, model)
  return redis.call('ZSCORE', key_of('active', model), id) and redis.call('EXISTS', key_of('ready', id)) == 1
end

-- The owner's next job after the first `passed`, which other workers have to run; nil if there is none, or if the
-- owner's running rows have reached the limit.
local function next_of_owner(owner, model, passed)
  local line = key_of('owner_active', model, owner)
  local id = redis.call('ZRANGE', line, passed, passed)[1]
  while id and not is_waiting(id, model) do
    redis.call('ZREM', key_of('active', model), id)
    drop(id, model, owner)
    id = redis.call('ZRANGE', line, passed, passed)[1]
  end
  return id and may_start(owner, id) and id
end

-- The job that is served next. passed: owner → number of its first jobs that other workers have to run
-- → job id, owner; or nil
local function next_in_order(model, passed)
  local owners, rank = key_of('owners', model), 0
  local owner = redis.call('ZRANGE', owners, rank, rank)[1]
  while owner do
    local id = next_of_owner(owner, model, passed[owner] or 0)
    if id then return id, owner end
    if redis.call('ZSCORE', owners, owner) then rank = rank + 1 end
    owner = redis.call('ZRANGE', owners, rank, rank)[1]
  end
end

-- Whether `active` differs from `placed`: a program of the previous version changed it.
local function is_unsettled(model)
  return redis.call('ZCARD', key_of('active', model)) ~= redis.call('HLEN', key_of('placed', model))
end

-- → 1 if a worker may find a chunk to claim, else 0
local function anything_ready(model)
  if redis.call('EXISTS', key_of('active', model)) == 0 then return 0 end
  return (is_unsettled(model) or next_in_order(model, {})) and 1 or 0
end
