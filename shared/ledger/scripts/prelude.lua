-- What every script of the ledger shares. It stands before each of them.
--
-- KEYS of a job follow from its id, which a script may learn only as it runs, so their patterns come in
-- ARGV[1] as JSON, spelled by shared/keys.py with `{}` for the id. Takt runs on one primary (Celery has no
-- Redis Cluster transport), where a script may touch keys that it was not handed.

local names = cjson.decode(ARGV[1])

local function key_of(kind, id)
  return (string.gsub(names[kind], '{}', function() return id end))
end

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function get_chunk(id, index)
  local text = redis.call('HGET', key_of('chunks', id), index)
  return text and cjson.decode(text)
end

local function put_chunk(id, index, chunk)
  redis.call('HSET', key_of('chunks', id), index, cjson.encode(chunk))
end

local function lease_name(id, index, token)
  return id .. ':' .. index .. ':' .. token
end

local terminal = {succeeded = true, failed = true, canceled = true}

-- A job takes part in the fair order until it ends; it enters level with the least served.
local function activate(id, model)
  local active = key_of('active', model)
  if not redis.call('ZSCORE', active, id) then
    local least = redis.call('ZRANGE', active, 0, 0, 'WITHSCORES')
    redis.call('ZADD', active, least[2] or 0, id)
  end
  redis.call('SADD', names.active_models, model)
end

local function end_job(id, state)
  local job = key_of('job', id)
  local model = redis.call('HGET', job, 'key')
  redis.call('HSET', job, 'state', state, 'finished_at_ms', now_ms())
  redis.call('ZREM', key_of('active', model), id)
  redis.call('DEL', key_of('ready', id))
  if redis.call('ZCARD', key_of('active', model)) == 0 then
    redis.call('SREM', names.active_models, model)
  end
end

-- The job's last transition: sealed, and every chunk ended.
local function end_if_complete(id)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'rows_total', 'chunks_total', 'chunks_ended')
  if not terminal[f[1]] and f[2] and tonumber(f[3]) == tonumber(f[4]) then
    end_job(id, 'succeeded')
    return true
  end
  return false
end

local function end_chunk(id, index, chunk, succeeded, failed)
  put_chunk(id, index, chunk)
  local job = key_of('job', id)
  redis.call('HINCRBY', job, 'rows_succeeded', succeeded)
  redis.call('HINCRBY', job, 'rows_failed', failed)
  redis.call('HINCRBY', job, 'chunks_ended', 1)
  return end_if_complete(id)
end

local function ready_chunks(model)
  local total = 0
  for _, id in ipairs(redis.call('ZRANGE', key_of('active', model), 0, -1)) do
    total = total + redis.call('ZCARD', key_of('ready', id))
  end
  return total
end
