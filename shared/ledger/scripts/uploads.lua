-- Steps of an upload: chunks are appended, then the upload is sealed.

-- Make chunks with stored rows ready, and renew the leases of the upload and of its Idempotency-Key.
-- wanted: required index of the first chunk, or ''; stored: number of rows and digest (or '') of each chunk
-- → index of the first; false if the job accepts no more; -1 if this server lost chunks that were appended before
local function append_chunks(id, lease_ms, wanted, stored)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'key', 'chunks_total', 'upload_token')
  if f[1] ~= 'uploading' then return false end
  local first, rows_added = tonumber(f[3]), 0
  if wanted ~= '' and tonumber(wanted) ~= first then return -1 end
  for i = 1, #stored, 2 do
    local index, rows = first + (i - 1) / 2, tonumber(stored[i])
    put_chunk(id, index, new_chunk(rows, stored[i + 1]))
    redis.call('ZADD', key_of('ready', id), index, index)
    rows_added = rows_added + rows
  end
  redis.call('HINCRBY', job, 'chunks_total', #stored / 2)
  redis.call('HINCRBY', job, 'rows_accepted', rows_added)
  redis.call('ZADD', names.leases, now_ms() + lease_ms, lease_name(id, 'upload', f[4]))
  local key = held_key(id)
  if key and redis.call('PTTL', key) < lease_ms then redis.call('PEXPIRE', key, lease_ms) end
  enter(id, f[2])
  return first
end

-- Complete the upload: the total is known, and the job may end. wanted: required number of chunks, or ''
-- → the state; false if the job was not uploading; 'torn' if this server lost some of its chunks
local function seal_upload(id, wanted)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'rows_accepted', 'started_at_ms', 'chunks_total')
  if f[1] ~= 'uploading' then return false end
  if wanted ~= '' and wanted ~= f[4] then return 'torn' end
  end_upload(id)
  redis.call('HSET', job, 'rows_total', f[2], 'state', f[3] and 'running' or 'queued')
  note(id, 'uploaded', {rows = tonumber(f[2]), chunks_total = tonumber(f[4])})
  publish_event(id)
  end_if_due(id)
  return redis.call('HGET', job, 'state')
end

local function arguments_from(first)
  local found = {}
  for i = first, #ARGV do table.insert(found, ARGV[i]) end
  return found
end
