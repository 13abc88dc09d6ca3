-- End expired leases: their chunks are ready again, and interrupted uploads fail. The lease of a worker without a
-- heartbeat ends after the grace: a live worker with a lost heartbeat renews it before that. The leases of workers
-- that are known to have ended end at once.
-- ARGV: names, limit of leases to read, grace_ms, ids of workers that have ended
-- → {ids of jobs with an interrupted upload, ids of jobs that were removed during a worker's lease}
local most, grace_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local LOST = 'its lease ended: the worker has ended, or cannot reach Redis'
local interrupted, orphaned, heard, ended = {}, {}, {}, {}
for i = 4, #ARGV do ended[ARGV[i]] = true end

local function parts(name)
  return string.match(name, '^([^:]+):([^:]+):(.*)$')
end

local function silent(worker)
  if heard[worker] == nil then heard[worker] = redis.call('EXISTS', key_of('worker', worker)) == 1 end
  return not heard[worker]
end

local function shorten_leases_of_silent_workers()
  local over = now_ms() + grace_ms
  for _, name in ipairs(redis.call('ZRANGE', names.leases, 0, most - 1)) do
    local id, index, token = parts(name)
    local chunk = id and held_chunk(id, index, token)
    local worker = chunk and chunk.worker
    if worker and (ended[worker] or silent(worker)) then
      redis.call('ZADD', names.leases, 'LT', ended[worker] and now_ms() or over, name)
    end
  end
end

local function bring_back(id, index, token)
  local _, text = get_chunk(id, index)
  local chunk = held_chunk(id, index, token)
  if chunk then
    if not chunk.waits then note_attempt(id, index, chunk, LOST) end
    release(id, index, chunk)
  elseif text then
    redis.call('HINCRBY', key_of('job', id), 'chunks_leased', -1)
    if not terminal[redis.call('HGET', key_of('job', id), 'state')] then fail_corrupt_chunk(id, index, text) end
  elseif redis.call('HGET', key_of('job', id), 'upload_token') == token then
    fail(id, 'upload_interrupted', 'The upload broke off before its end.')
    table.insert(interrupted, id)
  elseif redis.call('HEXISTS', key_of('job', id), 'created_at_ms') == 0 then
    table.insert(orphaned, id) -- its worker may have stored a result before it died
  end
end

local function end_leases_that_ran_out()
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', names.leases, '-inf', now_ms(), 'LIMIT', 0, most)) do
    redis.call('ZREM', names.leases, name)
    local id, index, token = parts(name)
    if id then guarded(id, function() bring_back(id, index, token) end) end
  end
end

shorten_leases_of_silent_workers()
end_leases_that_ran_out()
return {interrupted, orphaned}
