-- What an upload does to its job: chunks come, and at last there come no more.

-- Chunks whose rows are stored become ready; the upload's lease, and that of its Idempotency-Key, are renewed.
-- wanted: the index that the first must have, or ''; rows: of each chunk
-- → index of the first; false where the job takes no more; -1 where this server lacks chunks that were appended before
local function append_chunks(id, lease_ms, wanted, rows)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'key', 'chunks_total', 'upload_token')
  if f[1] ~= 'uploading' then return false end
  local first, rows_added = tonumber(f[3]), 0
  if wanted ~= '' and tonumber(wanted) ~= first then return -1 end
  for i, count in ipairs(rows) do
    local index = first + i - 1
    put_chunk(id, index, {state = 'ready', rows = tonumber(count), attempts = 0})
    redis.call('ZADD', key_of('ready', id), index, index)
    rows_added = rows_added + tonumber(count)
  end
  redis.call('HINCRBY', job, 'chunks_total', #rows)
  redis.call('HINCRBY', job, 'rows_accepted', rows_added)
  redis.call('ZADD', names.leases, now_ms() + lease_ms, lease_name(id, 'upload', f[4]))
  local key = held_key(id)
  if key and redis.call('PTTL', key) < lease_ms then redis.call('PEXPIRE', key, lease_ms) end
  enter(id, f[2])
  return first
end

-- The upload is whole: the total is known, and the job may end. wanted: how many chunks it must have, or ''
-- → the state; false where the job was not uploading; 'torn' where this server lacks some of its chunks
local function seal_upload(id, wanted)
  local job = key_of('job', id)
  local f = redis.call('HMGET', job, 'state', 'rows_accepted', 'started_at_ms', 'chunks_total')
  if f[1] ~= 'uploading' then return false end
  if wanted ~= '' and wanted ~= f[4] then return 'torn' end
  end_upload(id)
  redis.call('HSET', job, 'rows_total', f[2], 'state', f[3] and 'running' or 'queued')
  tell(id)
  end_if_due(id)
  return redis.call('HGET', job, 'state')
end

local function arguments_from(first)
  local found = {}
  for i = first, #ARGV do table.insert(found, ARGV[i]) end
  return found
end
