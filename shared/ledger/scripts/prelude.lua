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

local terminal = {succeeded = true, failed = true, canceled = true, expired = true}

-- Those who watch a job see each of its turns and counts.
local function tell(id)
  local f = redis.call('HMGET', key_of('job', id), 'state', 'rows_succeeded', 'rows_failed', 'rows_total')
  redis.call('XADD', key_of('events', id), 'MAXLEN', '~', 1000, '*',
    'state', f[1], 'rows_succeeded', f[2], 'rows_failed', f[3], 'rows_total', f[4] or '')
end

-- A job takes part in the fair order until it ends or pauses; it enters level with the least served.
local function activate(id, model)
  local active = key_of('active', model)
  if not redis.call('ZSCORE', active, id) then
    local least = redis.call('ZRANGE', active, 0, 0, 'WITHSCORES')
    redis.call('ZADD', active, least[2] or 0, id)
  end
  redis.call('SADD', names.active_models, model)
end

local function deactivate(id, model)
  redis.call('ZREM', key_of('active', model), id)
  if redis.call('ZCARD', key_of('active', model)) == 0 then
    redis.call('SREM', names.active_models, model)
  end
end

local function end_job(id, state)
  local job, now = key_of('job', id), now_ms()
  local f = redis.call('HMGET', job, 'key', 'retention_ms', 'webhook_url')
  redis.call('HSET', job, 'state', state, 'finished_at_ms', now)
  redis.call('ZADD', names.expiring, now + tonumber(f[2]), id)
  if f[3] and f[3] ~= '' then redis.call('ZADD', names.webhooks, now, id) end
  redis.call('DEL', key_of('ready', id))
  deactivate(id, f[1])
  tell(id)
end

local function fail(id, code, detail)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'upload_token', 'idempotency')
  redis.call('ZREM', names.leases, lease_name(id, 'upload', f[2]))
  if f[1] == 'uploading' and f[3] ~= '' then
    redis.call('DEL', key_of('idempotency', f[3])) -- the client may send its upload again
  end
  redis.call('HSET', job, 'error_code', code, 'error_detail', detail)
  end_job(id, 'failed')
end

-- Whether more rows failed than the job's owner allows. A share is judged once the total is known.
local function too_many_errors(id)
  local f = redis.call('HMGET', key_of('job', id), 'rows_failed', 'rows_total', 'max_errors', 'max_error_share')
  local failed = tonumber(f[1])
  if f[3] ~= '' and failed > tonumber(f[3]) then return true end
  return f[4] ~= '' and f[2] and failed > tonumber(f[4]) * tonumber(f[2])
end

-- A job's last transition, where it is due: canceled once nothing runs, failed past its error budget,
-- succeeded once it is sealed and every chunk has ended.
local function end_if_due(id)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'rows_total', 'chunks_total', 'chunks_ended', 'chunks_leased')
  if terminal[f[1]] then return end
  if f[1] == 'canceling' then
    if tonumber(f[5]) == 0 then end_job(id, 'canceled') end
  elseif too_many_errors(id) then
    local failed = redis.call('HGET', job, 'rows_failed')
    local first = redis.call('HGET', job, 'first_errors') or ''
    fail(id, 'too_many_errors', failed .. ' rows failed, more than max_errors allows. First: ' .. first)
  elseif f[2] and tonumber(f[3]) == tonumber(f[4]) then
    end_job(id, 'succeeded')
  end
end

local function end_chunk(id, index, chunk, succeeded, failed)
  put_chunk(id, index, chunk)
  local job = key_of('job', id)
  redis.call('HINCRBY', job, 'rows_succeeded', succeeded)
  redis.call('HINCRBY', job, 'rows_failed', failed)
  redis.call('HINCRBY', job, 'chunks_ended', 1)
  tell(id)
  end_if_due(id)
end

-- A chunk that nobody holds any more waits for the next claim.
local function release(id, index, chunk)
  chunk.state, chunk.token, chunk.worker = 'ready', nil, nil
  put_chunk(id, index, chunk)
  redis.call('HINCRBY', key_of('job', id), 'chunks_leased', -1)
  redis.call('ZADD', key_of('ready', id), index, index)
  end_if_due(id)
end

local function ready_chunks(model)
  local total = 0
  for _, id in ipairs(redis.call('ZRANGE', key_of('active', model), 0, -1)) do
    total = total + redis.call('ZCARD', key_of('ready', id))
  end
  return total
end

-- Everything of a job but its rows and results, which lie elsewhere.
local function forget(id)
  local owner = redis.call('HGET', key_of('job', id), 'owner') or ''
  redis.call('DEL', key_of('job', id), key_of('chunks', id), key_of('ready', id), key_of('events', id), key_of('webhook', id))
  redis.call('ZREM', names.jobs, id)
  redis.call('ZREM', key_of('owner_jobs', owner), id)
  redis.call('ZREM', names.expiring, id)
  redis.call('ZREM', names.webhooks, id)
  return owner
end
