-- The turns of a job's life that several scripts bring about.

-- Those who watch a job see each of its turns and counts.
local function tell(id)
  local f = redis.call('HMGET', key_of('job', id), 'state', 'rows_succeeded', 'rows_failed', 'rows_total')
  redis.call('XADD', key_of('events', id), 'MAXLEN', '~', 1000, '*',
    'state', f[1], 'rows_succeeded', f[2], 'rows_failed', f[3], 'rows_total', f[4] or '')
end

local function end_upload(id)
  local token = redis.call('HGET', key_of('job', id), 'upload_token')
  redis.call('ZREM', names.leases, lease_name(id, 'upload', token))
end

-- The name under which the job holds its Idempotency-Key; nothing where it has none, or holds it no longer.
local function held_key(id)
  local key = redis.call('HGET', key_of('job', id), 'idempotency') or ''
  local name = key_of('idempotency', key)
  return key ~= '' and redis.call('HGET', name, 'job') == id and name
end

-- Who sends the same request again makes a new job.
local function free_key(id)
  local name = held_key(id)
  if name then redis.call('DEL', name) end
end

local WEEK_MS = 604800000

local function end_job(id, state)
  local job, now = key_of('job', id), now_ms()
  local f = redis.call('HMGET', job, 'key', 'retention_ms', 'webhook_url')
  redis.call('HSET', job, 'state', state, 'finished_at_ms', now)
  redis.call('ZADD', names.expiring, now + (tonumber(f[2]) or WEEK_MS), id)
  if f[3] and f[3] ~= '' then redis.call('ZADD', names.webhooks, now, id) end
  redis.call('DEL', key_of('ready', id))
  leave(id, f[1])
  tell(id)
end

local function fail(id, code, detail)
  local job = key_of('job', id)
  if redis.call('HGET', job, 'state') == 'uploading' then
    end_upload(id)
    free_key(id)
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

local most_errors_named = 5

-- What the first failed rows say, in the order of their chunks, of all that have ended so far.
local function name_errors(id, index, texts)
  if #texts == 0 then return end
  local job = key_of('job', id)
  local named = cjson.decode(redis.call('HGET', job, 'errors_named') or '[]')
  for place, text in ipairs(texts) do table.insert(named, {tonumber(index), place, text}) end
  table.sort(named, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
  while #named > most_errors_named do table.remove(named) end
  redis.call('HSET', job, 'errors_named', cjson.encode(named))
end

local function named_errors(id)
  local texts = {}
  for _, named in ipairs(cjson.decode(redis.call('HGET', key_of('job', id), 'errors_named') or '[]')) do
    table.insert(texts, named[3])
  end
  return table.concat(texts, '; ')
end

-- A job's last transition, where it is due: canceled once nothing runs, failed past its error budget,
-- succeeded once it is sealed and every chunk has ended.
local function end_if_due(id)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'rows_total', 'chunks_total', 'chunks_ended', 'chunks_leased')
  if f[1] == 'canceling' then
    if tonumber(f[5]) == 0 then end_job(id, 'canceled') end
  elseif too_many_errors(id) then
    local failed = redis.call('HGET', job, 'rows_failed')
    fail(id, 'too_many_errors', failed .. ' rows failed, more than max_errors allows. First: ' .. named_errors(id))
  elseif f[2] and tonumber(f[3]) == tonumber(f[4]) then
    end_job(id, 'succeeded')
  end
end

local function end_chunk(id, index, chunk, succeeded, failed)
  chunk.failed = failed
  put_chunk(id, index, chunk)
  local job = key_of('job', id)
  redis.call('HINCRBY', job, 'rows_succeeded', succeeded)
  redis.call('HINCRBY', job, 'rows_failed', failed)
  redis.call('HINCRBY', job, 'chunks_ended', 1)
  tell(id)
  end_if_due(id)
end

-- A chunk that nobody holds any more waits for the next claim, unless its job has ended meanwhile.
local function release(id, index, chunk)
  end_lease(id, index, chunk)
  chunk.state, chunk.token, chunk.worker = 'ready', nil, nil
  put_chunk(id, index, chunk)
  local f = redis.call('HMGET', key_of('job', id), 'state', 'key')
  if terminal[f[1]] then return end
  redis.call('ZADD', key_of('ready', id), index, index)
  if claimable[f[1]] then enter(id, f[2]) end
  end_if_due(id)
end

-- Everything of a job but its rows and results, which lie elsewhere, and its running leases, which expire.
local function forget(id)
  free_key(id)
  local owner = redis.call('HGET', key_of('job', id), 'owner')
  for _, kind in ipairs({'job', 'chunks', 'ready', 'inline', 'events', 'webhook'}) do
    redis.call('DEL', key_of(kind, id))
  end
  for _, index in ipairs({names.jobs, key_of('owner_jobs', owner), names.expiring, names.webhooks}) do
    redis.call('ZREM', index, id)
  end
  return owner
end
