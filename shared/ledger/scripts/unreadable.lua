-- Unreadable records: set aside with the reason, without stopping other jobs.

local SCHEMA = 2 -- the newest that these scripts read, as in records.py

local function keep_aside(kind, place, model, reason, data)
  set_aside(names.dead_letters, names.dead_letter, kind, place, model or '', reason, data)
end

local function keep_job_aside(id, reason)
  local job = key_of('job', id)
  keep_aside('job', id, redis.call('HGET', job, 'key'), reason, cjson.encode(redis.call('HGETALL', job)))
end

-- A newer worker runs this job; this worker skips it.
local function of_newer_schema(id)
  local schema = redis.call('HGET', key_of('job', id), 'schema')
  if (tonumber(schema or 1) or 1) <= SCHEMA then return false end
  keep_job_aside(id, 'schema version ' .. schema .. '; up to ' .. SCHEMA .. ' is read here')
  return true
end

-- Rows of the only chunk with a lost record: the rows that no other chunk has. false if more records are lost.
local function rows_lost(id)
  local f = redis.call('HMGET', key_of('job', id), 'rows_accepted', 'chunks_total')
  local rows, chunks = tonumber(f[1]), tonumber(f[2])
  for index = 0, chunks - 1 do
    local chunk = get_chunk(id, index)
    if chunk then rows, chunks = rows - chunk.rows, chunks - 1 end
  end
  return chunks == 1 and rows
end

-- Fail a chunk with an unreadable record, or its whole job if the chunk's number of rows is unknown.
local function fail_corrupt_chunk(id, index, text)
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

-- Errors of a server that is full, broken or not a primary: the record is not at fault.
local function is_refusal(reason)
  for _, code in ipairs({'OOM', 'MISCONF', 'READONLY', 'NOREPLICAS'}) do
    if string.find(reason, code, 1, true) then return true end
  end
end

-- Run one step of a job. If its record breaks the step, the job fails, and other jobs continue.
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
