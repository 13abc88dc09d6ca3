-- Records that cannot be read: set aside with their reason, and stopping nobody else.

local SCHEMA = 2 -- the newest that these scripts read, as in records.py

local function keep_aside(kind, place, model, reason, data)
  set_aside(names.dead_letters, names.dead_letter, kind, place, model or '', reason, data)
end

local function keep_job_aside(id, reason)
  local job = key_of('job', id)
  keep_aside('job', id, redis.call('HGET', job, 'key'), reason, cjson.encode(redis.call('HGETALL', job)))
end

-- A newer worker runs it; this one passes it over.
local function of_newer_schema(id)
  local schema = redis.call('HGET', key_of('job', id), 'schema')
  if (tonumber(schema or 1) or 1) <= SCHEMA then return false end
  keep_job_aside(id, 'schema version ' .. schema .. '; up to ' .. SCHEMA .. ' is read here')
  return true
end

-- Rows of the one chunk whose record is lost: those that no other chunk holds. Nothing where more are lost.
local function rows_lost(id)
  local f = redis.call('HMGET', key_of('job', id), 'rows_accepted', 'chunks_total')
  local rows, chunks = tonumber(f[1]), tonumber(f[2])
  for index = 0, chunks - 1 do
    local chunk = get_chunk(id, index)
    if chunk then rows, chunks = rows - chunk.rows, chunks - 1 end
  end
  return chunks == 1 and rows
end

-- A chunk whose record cannot be read ends as failed, or its whole job does where nobody knows its rows.
local function condemn(id, index, text)
  local reason = text and 'the record of a chunk cannot be read' or 'a ready chunk has no record'
  keep_aside('chunk', id .. '/' .. index, redis.call('HGET', key_of('job', id), 'key'), reason, text or '')
  local rows = rows_lost(id)
  if not rows then
    fail(id, 'record_unreadable', 'The records of several chunks cannot be read.')
    return
  end
  local chunk = {state = 'failed', rows = rows, attempts = 0, error = 'its record in the ledger could not be read'}
  end_chunk(id, index, chunk, 0, rows)
end

-- What a server refuses that is full, broken or no primary says nothing about a record.
local function is_refusal(reason)
  for _, code in ipairs({'OOM', 'MISCONF', 'READONLY', 'NOREPLICAS'}) do
    if string.find(reason, code, 1, true) then return true end
  end
end

-- One step of a job. Where its record is such that the step breaks, the job fails, and others go on.
local function guarded(id, step, model)
  local done, answer = pcall(step, id)
  if done then return answer end
  local reason = type(answer) == 'table' and answer.err or tostring(answer)
  if is_refusal(reason) then error(answer) end
  keep_job_aside(id, reason)
  local f = redis.call('HMGET', key_of('job', id), 'key', 'state')
  if model or f[1] then leave(id, model or f[1]) end
  if f[2] and not terminal[f[2]] then pcall(fail, id, 'record_unreadable', 'The record of the job cannot be read.') end
end
