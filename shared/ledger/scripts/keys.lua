-- The base of every script of the ledger: keys, the clock, chunks and their leases.
--
-- The KEYS of a job follow from its id, which a script may learn only while it runs. Their patterns are in ARGV[1] as
-- JSON, composed by shared/keys.py, with `{}` for the id and a second `{}` for a second part. Takt runs on one primary
-- (Celery has no Redis Cluster transport), where a script may access keys that were not passed to it.

local names = cjson.decode(ARGV[1])

local terminal = {succeeded = true, failed = true, canceled = true, expired = true}
local claimable = {uploading = true, queued = true, running = true}

-- An id that is missing leaves its `{}` in place.
local function key_of(kind, first, second)
  local pattern = names[kind]
  local at = string.find(pattern, '{}', 1, true)
  local head, rest = string.sub(pattern, 1, at - 1), string.sub(pattern, at + 2)
  if second then
    at = string.find(rest, '{}', 1, true)
    rest = string.sub(rest, 1, at - 1) .. second .. string.sub(rest, at + 2)
  end
  return head .. (first or '{}') .. rest
end

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function is_chunk(chunk)
  return type(chunk) == 'table' and type(chunk.state) == 'string'
    and type(chunk.rows) == 'number' and type(chunk.attempts) == 'number'
end

-- The chunk's record; nil if it is missing or unreadable. If it is unreadable, its text is the second value.
local function get_chunk(id, index)
  local text = redis.call('HGET', key_of('chunks', id), index)
  if not text then return nil end
  local decoded, chunk = pcall(cjson.decode, text)
  if decoded and is_chunk(chunk) then return chunk end
  return nil, text
end

local function put_chunk(id, index, chunk)
  redis.call('HSET', key_of('chunks', id), index, cjson.encode(chunk))
end

-- A chunk that was just stored. digest: of its rows, or '' if unknown.
local function new_chunk(rows, digest)
  return {state = 'ready', rows = rows, attempts = 0, rows_digest = digest ~= '' and digest or nil}
end

-- The chunk, if this token holds its lease. A chunk has a token while it is leased and when it is done.
local function held_chunk(id, index, token)
  local chunk = get_chunk(id, index)
  return chunk and chunk.state == 'leased' and chunk.token == token and chunk
end

local function lease_name(id, index, token)
  return id .. ':' .. index .. ':' .. token
end

local function end_lease(id, index, chunk)
  redis.call('ZREM', names.leases, lease_name(id, index, chunk.token))
  redis.call('HINCRBY', key_of('job', id), 'chunks_leased', -1)
end
