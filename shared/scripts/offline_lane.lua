-- The queue of a model version, counted over the jobs that are served next. Reads only.
-- KEYS: the queue. ARGV: key patterns of jobs and of their ready chunks, limit of jobs to read
-- → {jobs in the queue, jobs read, their ready chunks, rows in these, creation time in ms of the oldest}
local ids = redis.call('ZRANGE', KEYS[1], 0, ARGV[3] - 1)
local chunks, rows, oldest = 0, 0, 0

local function key_of(pattern, id)
  return (string.gsub(pattern, '{}', function() return id end))
end

for _, id in ipairs(ids) do
  local f = redis.call('HMGET', key_of(ARGV[1], id), 'rows_accepted', 'chunks_total', 'created_at_ms')
  local stored, of, opened = tonumber(f[1] or ''), tonumber(f[2] or ''), tonumber(f[3] or '')
  if stored and of and of > 0 and opened then -- else the record is gone or corrupt: the ledger handles that
    local ready = redis.call('ZCARD', key_of(ARGV[2], id))
    chunks, rows = chunks + ready, rows + math.floor(ready * stored / of + 0.5)
    if oldest == 0 or opened < oldest then oldest = opened end
  end
end
return {redis.call('ZCARD', KEYS[1]), #ids, chunks, rows, oldest}
