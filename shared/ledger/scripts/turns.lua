-- State changes of a job that are shared by several scripts.

-- Append the job's state and counts to its event stream, for clients that follow it.
local function publish_event(id)
  local f = redis.call('HMGET', key_of('job', id), 'state', 'rows_succeeded', 'rows_failed', 'rows_total')
  redis.call('XADD', key_of('events', id), 'MAXLEN', '~', 1000, '*',
    'state', f[1], 'rows_succeeded', f[2], 'rows_failed', f[3], 'rows_total', f[4] or '')
end

local MOST_EVENTS, FIRST_EVENTS, MOST_TEXT_BYTES = 100, 50, 300

-- A text of bounded length, cut between two characters of UTF-8.
local function short(text)
  if #text <= MOST_TEXT_BYTES then return text end
  return (string.gsub(string.sub(text, 1, MOST_TEXT_BYTES), '[\192-\255]?[\128-\191]*$', '')) .. '…'
end

-- Add an event to the job's timeline, which keeps the first and the newest events. fields: as in `TimelineEvent`
local function note(id, event, fields)
  local job = key_of('job', id)
  local readable, kept = pcall(cjson.decode, redis.call('HGET', job, 'timeline') or '[]')
  if not readable or type(kept) ~= 'table' then kept = {} end
  fields.event, fields.at_ms = event, now_ms()
  if fields.by == '' then fields.by = nil end
  if fields.reason then fields.reason = short(fields.reason) end
  table.insert(kept, fields)
  if #kept > MOST_EVENTS then
    table.remove(kept, FIRST_EVENTS + 1)
    redis.call('HINCRBY', job, 'timeline_omitted', 1)
  end
  redis.call('HSET', job, 'timeline', cjson.encode(kept))
end

local function note_attempt(id, index, chunk, reason)
  if terminal[redis.call('HGET', key_of('job', id), 'state')] then return end
  note(id, 'attempt_failed',
    {chunk = tonumber(index), attempt = chunk.attempts, worker = chunk.worker, reason = reason})
end

-- Note each tenth of the chunks of a job whose total is known. ended: number of ended chunks, at least 2
local function note_progress(id, ended)
  local f = redis.call('HMGET', key_of('job', id), 'rows_total', 'chunks_total')
  local total = tonumber(f[2])
  if not f[1] or ended >= total then return end
  if math.floor(ended * 10 / total) > math.floor((ended - 1) * 10 / total) then
    note(id, 'chunks_ended', {chunks_ended = ended, chunks_total = total})
  end
end

local function end_upload(id)
  local token = redis.call('HGET', key_of('job', id), 'upload_token')
  redis.call('ZREM', names.leases, lease_name(id, 'upload', token))
end

-- The name under which the job holds its Idempotency-Key; nil if it has none, or no longer holds it.
local function held_key(id)
  local key = redis.call('HGET', key_of('job', id), 'idempotency') or ''
  local name = key_of('idempotency', key)
  return key ~= '' and redis.call('HGET', name, 'job') == id and name
end

-- After this, repeating the request creates a new job.
local function free_key(id)
  local name = held_key(id)
  if name then redis.call('DEL', name) end
end

local WEEK_MS = 604800000

local HOURS_KEPT_S = 2678400

-- Count the end of a job in the hash of its hour: shared/hourly_history.py reads it. Buckets are steps of the square
-- root of 2, in seconds.
local function count_end(id, state, now)
  local f = redis.call('HMGET', key_of('job', id), 'key', 'created_at_ms', 'rows_succeeded', 'rows_failed')
  local seconds = math.floor(now / 1000)
  local hour, model = key_of('hour', string.format('%d', seconds - seconds % 3600)), f[1] or ''
  local took_ms = math.max(now - (tonumber(f[2]) or now), 1)
  local bucket = math.floor(2 * math.log(took_ms / 1000) / math.log(2))
  redis.call('HINCRBY', hour, model .. '|jobs_' .. state, 1)
  redis.call('HINCRBY', hour, model .. '|rows', (tonumber(f[3]) or 0) + (tonumber(f[4]) or 0))
  if state == 'succeeded' then
    redis.call('HINCRBY', hour, model .. '|took' .. bucket, 1)
    local longest = tonumber(redis.call('HGET', hour, model .. '|longest_ms') or 0)
    if took_ms > longest then redis.call('HSET', hour, model .. '|longest_ms', string.format('%d', took_ms)) end
  end
  redis.call('EXPIRE', hour, HOURS_KEPT_S)
end

local function end_job(id, state)
  local job, now = key_of('job', id), now_ms()
  local f = redis.call('HMGET', job, 'key', 'retention_ms', 'webhook_url', 'owner')
  redis.call('HSET', job, 'state', state, 'finished_at_ms', now)
  redis.call('ZADD', names.expiring, now + (tonumber(f[2]) or WEEK_MS), id)
  if f[3] and f[3] ~= '' then redis.call('ZADD', names.webhooks, now, id) end
  redis.call('DEL', key_of('ready', id))
  redis.call('ZREM', key_of('open_jobs', f[4] or ''), id)
  leave(id, f[1])
  publish_event(id)
  count_end(id, state, now)
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

-- Whether more rows failed than the job's limits allow. A share is applied when the total is known.
local function too_many_errors(id)
  local f = redis.call('HMGET', key_of('job', id), 'rows_failed', 'rows_total', 'max_errors', 'max_error_share')
  local failed = tonumber(f[1])
  if f[3] ~= '' and failed > tonumber(f[3]) then return true end
  return f[4] ~= '' and f[2] and failed > tonumber(f[4]) * tonumber(f[2])
end

local most_reasons_kept, most_reasons_named = 20, 5

-- Collect the reasons of failed rows over all ended chunks: for each reason, the number of rows and the first place.
-- `errors_named` is a list of {index, place, text, rows, key, first}. The previous version kept only {index, place,
-- text} for three single rows; such records are still read.
-- groups: of one chunk, in the order of their first rows: texts, each of one row, or {key, text, rows, first}
local function name_errors(id, index, groups)
  if #groups == 0 then return end
  local job = key_of('job', id)
  local named = cjson.decode(redis.call('HGET', job, 'errors_named') or '[]')
  local by_key = {}
  for _, entry in ipairs(named) do if entry[5] then by_key[entry[5]] = entry end end
  for place, group in ipairs(groups) do
    local entry = {tonumber(index), place, group}
    if type(group) == 'table' then
      entry = {tonumber(index), place, group.text, group.rows, group.key, group.first}
    end
    local known = entry[5] and by_key[entry[5]]
    if known then
      local rows = known[4] + entry[4]
      if entry[1] < known[1] then for field = 1, 6 do known[field] = entry[field] end end
      known[4] = rows
    else
      table.insert(named, entry)
      if entry[5] then by_key[entry[5]] = entry end
    end
  end
  table.sort(named, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
  while #named > most_reasons_kept do table.remove(named) end
  redis.call('HSET', job, 'errors_named', cjson.encode(named))
end

-- '20 × text, first in row 99'; for a single row 'row 99: text'
local function reason_text(entry)
  if not entry[6] then return entry[3] end
  if entry[4] == 1 then return entry[6] .. ': ' .. entry[3] end
  return string.format('%d × %s, first in %s', entry[4], entry[3], entry[6])
end

-- The most frequent reasons, and the number of rows with other reasons; '' if no reason is known.
local function named_errors(id, failed)
  local named = cjson.decode(redis.call('HGET', key_of('job', id), 'errors_named') or '[]')
  if #named == 0 then return '' end
  table.sort(named, function(a, b)
    local rows_a, rows_b = a[4] or 1, b[4] or 1
    if rows_a ~= rows_b then return rows_a > rows_b end
    return a[1] < b[1] or a[1] == b[1] and a[2] < b[2]
  end)
  local texts, left = {}, failed
  for place = 1, math.min(#named, most_reasons_named) do
    table.insert(texts, reason_text(named[place]))
    left = left - (named[place][4] or 1)
  end
  local more = left > 0 and string.format('; and %d more', left) or ''
  return ' First: ' .. table.concat(texts, '; ') .. more
end

-- A job's last transition, if it is due: canceled when no chunk runs, failed above its error budget, succeeded when it
-- is sealed and every chunk has ended.
local function end_if_due(id)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'rows_total', 'chunks_total', 'chunks_ended', 'chunks_leased')
  if f[1] == 'canceling' then
    if tonumber(f[5]) == 0 then end_job(id, 'canceled') end
  elseif too_many_errors(id) then
    local failed = redis.call('HGET', job, 'rows_failed')
    local reasons = named_errors(id, tonumber(failed))
    fail(id, 'too_many_errors', failed .. ' rows failed, more than max_errors allows.' .. reasons)
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
  local ended = redis.call('HINCRBY', job, 'chunks_ended', 1)
  if chunk.state == 'failed' then
    note(id, 'chunk_failed', {chunk = tonumber(index), attempt = chunk.attempts, reason = chunk.error})
  elseif ended > 1 then
    note_progress(id, ended)
  end
  publish_event(id)
  end_if_due(id)
end

-- Make a chunk that lost its holder ready again, unless its job has ended in the meantime.
local function release(id, index, chunk)
  end_lease(id, index, chunk)
  chunk.state, chunk.token, chunk.worker, chunk.waits = 'ready', nil, nil, nil
  put_chunk(id, index, chunk)
  local f = redis.call('HMGET', key_of('job', id), 'state', 'key')
  if terminal[f[1]] then return end
  redis.call('ZADD', key_of('ready', id), index, index)
  if claimable[f[1]] then enter(id, f[2]) end
  end_if_due(id)
end

-- Remove all keys of a job. Its rows and results are stored elsewhere; its running leases expire.
local function forget(id)
  free_key(id)
  local owner = redis.call('HGET', key_of('job', id), 'owner')
  for _, kind in ipairs({'job', 'chunks', 'ready', 'inline', 'events', 'webhook'}) do
    redis.call('DEL', key_of(kind, id))
  end
  local of_owner = {key_of('owner_jobs', owner), key_of('open_jobs', owner)}
  for _, index in ipairs({names.jobs, names.expiring, names.webhooks, unpack(of_owner)}) do
    redis.call('ZREM', index, id)
  end
  return owner
end
