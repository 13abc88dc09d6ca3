-- Record a complete job of one chunk, whose rows are kept in the ledger: `open` and `fill` in one, and `reserve` and
-- `bind` if it has an Idempotency-Key.
-- ARGV: names, job id, owner, model key, rows, their bytes, limit of a short queue, Idempotency-Key or '', digest of the
-- body, its time to live in ms, digest of the rows' bytes or '', then field, value, … of the record
-- → {created_at_ms}, and if the queue is short its owners and jobs, as `standings`; {0, job id, digest or ''} if that
-- other job holds the key; {-limit} if the owner's unfinished jobs have reached the limit; nil if the id is taken
local id, owner, model, rows = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local job, now = key_of('job', id), now_ms()
if redis.call('EXISTS', job) == 1 then return false end
if ARGV[8] ~= '' then
  local key = key_of('idempotency', ARGV[8])
  local f = redis.call('HMGET', key, 'job', 'digest')
  if f[1] then return {0, f[1], f[2] or ''} end
end
local most = exceeded_max_jobs(owner)
if most then return {-most} end
if ARGV[8] ~= '' then
  local key = key_of('idempotency', ARGV[8])
  redis.call('HSET', key, 'job', id, 'digest', ARGV[9])
  redis.call('PEXPIRE', key, ARGV[10])
end
redis.call('HSET', job, 'state', 'queued', 'created_at_ms', now,
  'rows_total', rows, 'rows_accepted', rows, 'rows_succeeded', 0, 'rows_failed', 0,
  'chunks_total', 1, 'chunks_ended', 0, 'chunks_leased', 0,
  unpack(ARGV, 12))
redis.call('HSET', key_of('inline', id), 'rows', ARGV[6])
put_chunk(id, 0, new_chunk(rows, ARGV[11]))
redis.call('ZADD', key_of('ready', id), 0, 0)
redis.call('ZADD', names.jobs, now, id)
redis.call('ZADD', key_of('owner_jobs', owner), now, id)
redis.call('ZADD', key_of('open_jobs', owner), now, id)
enter(id, model)
publish_event(id)

if redis.call('ZCARD', key_of('active', model)) > tonumber(ARGV[7]) then return {now} end
return {now, standings(model, tonumber(ARGV[7]))}
