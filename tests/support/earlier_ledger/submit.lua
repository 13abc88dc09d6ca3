-- A whole job of one chunk, whose rows lie in the ledger: `open` and `fill` as one, and under an Idempotency-Key
-- `reserve` and `bind` too.
-- ARGV: names, job id, owner, model key, rows, their bytes, most jobs of a short line, Idempotency-Key or '', the body's
-- digest, how long that is kept in ms, then field, value, … of the record
-- → {created_at_ms, job id, rows served over weight, {rows accepted, succeeded, failed, priority}, … of the line that
-- it stands in, least served first, where that is short}; {0, job id, digest or ''} where the key is that other job's;
-- nothing where the id is taken
local id, owner, model, rows = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local job, now = key_of('job', id), now_ms()
if redis.call('EXISTS', job) == 1 then return false end
if ARGV[8] ~= '' then
  local key = key_of('idempotency', ARGV[8])
  local f = redis.call('HMGET', key, 'job', 'digest')
  if f[1] then return {0, f[1], f[2] or ''} end
  redis.call('HSET', key, 'job', id, 'digest', ARGV[9])
  redis.call('PEXPIRE', key, ARGV[10])
end
redis.call('HSET', job, 'state', 'queued', 'created_at_ms', now,
  'rows_total', rows, 'rows_accepted', rows, 'rows_succeeded', 0, 'rows_failed', 0,
  'chunks_total', 1, 'chunks_ended', 0, 'chunks_leased', 0,
  unpack(ARGV, 11))
redis.call('HSET', key_of('inline', id), 'rows', ARGV[6])
put_chunk(id, 0, {state = 'ready', rows = rows, attempts = 0})
redis.call('ZADD', key_of('ready', id), 0, 0)
redis.call('ZADD', names.jobs, now, id)
redis.call('ZADD', key_of('owner_jobs', owner), now, id)
enter(id, model)
tell(id)

local found, line = {now}, key_of('active', model)
if redis.call('ZCARD', line) > tonumber(ARGV[7]) then return found end
local served = redis.call('ZRANGE', line, 0, -1, 'WITHSCORES')
for place = 1, #served, 2 do
  local f = redis.call('HMGET', key_of('job', served[place]), 'rows_accepted', 'rows_succeeded', 'rows_failed', 'priority')
  for _, part in ipairs({served[place], served[place + 1], f}) do table.insert(found, part) end
end
return found
