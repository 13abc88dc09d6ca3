-- Chunks whose rows are stored become ready; the upload's lease, and that of its Idempotency-Key, are renewed.
-- ARGV: names, job id, lease_ms, index that the first must have or '', rows of each chunk, …
-- → index of the first; nothing where the job takes no more; -1 where this server lacks chunks that were appended before
local id, lease_ms = ARGV[2], tonumber(ARGV[3])
local job = key_of('job', id)
local f = redis.call('HMGET', job, 'state', 'key', 'chunks_total', 'upload_token')
if f[1] ~= 'uploading' then return false end
local first, rows_added = tonumber(f[3]), 0
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= first then return -1 end
for i = 5, #ARGV do
  local index, rows = first + i - 5, tonumber(ARGV[i])
  put_chunk(id, index, {state = 'ready', rows = rows, attempts = 0})
  redis.call('ZADD', key_of('ready', id), index, index)
  rows_added = rows_added + rows
end
redis.call('HINCRBY', job, 'chunks_total', #ARGV - 4)
redis.call('HINCRBY', job, 'rows_accepted', rows_added)
redis.call('ZADD', names.leases, now_ms() + lease_ms, lease_name(id, 'upload', f[4]))
local key = held_key(id)
if key and redis.call('PTTL', key) < lease_ms then redis.call('PEXPIRE', key, lease_ms) end
enter(id, f[2])
return first
