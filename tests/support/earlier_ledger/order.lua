-- The fair order of a model version's jobs: start-time fair queueing (Goyal, Vin, Cheng 1996).
--
-- `active` holds the jobs that have ready chunks by their tag: rows served over weight. The clock is the tag
-- of the last claim. Who comes, or comes back, enters at the clock: nobody is owed what he did not ask for
-- meanwhile, and nobody loses what he has been served in advance.

local function enter(id, model)
  if redis.call('EXISTS', key_of('ready', id)) == 0 then return end
  redis.call('HSETNX', names.clocks, model, 0)
  local clock, tag = redis.call('HGET', names.clocks, model), redis.call('HGET', key_of('job', id), 'tag')
  redis.call('ZADD', key_of('active', model), 'NX', math.max(tonumber(clock) or 0, tonumber(tag or 0)), id)
end

local function leave(id, model)
  redis.call('ZREM', key_of('active', model), id)
end

-- One of the job's chunks was taken out of `ready`.
local function charge(id, model, rows)
  local job, active = key_of('job', id), key_of('active', model)
  local tag, priority = redis.call('ZSCORE', active, id), redis.call('HGET', job, 'priority')
  local next_tag = tonumber(tag) + rows / (tonumber(priority) + 1)
  redis.call('HSET', names.clocks, model, tag)
  redis.call('HSET', job, 'tag', next_tag)
  redis.call('ZADD', active, next_tag, id)
  if redis.call('EXISTS', key_of('ready', id)) == 0 then leave(id, model) end
end

local function anything_ready(model)
  return redis.call('EXISTS', key_of('active', model))
end
