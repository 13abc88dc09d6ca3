-- An owner's share: a weight in the fair order, and limits. Without a record: weight 1 and no limits.

local shares, running = {}, {} -- by owner, cached for this call
local DAY_MS = 86400000

local function share_of(owner)
  if not shares[owner] then
    local decoded, share = pcall(cjson.decode, redis.call('HGET', names.access_shares, owner) or '{}')
    shares[owner] = decoded and type(share) == 'table' and share or {}
  end
  return shares[owner]
end

local function weight_of(owner)
  local weight = tonumber(share_of(owner).weight)
  return weight and weight > 0 and weight or 1
end

-- Rows of the owner's leased chunks. Chunks leased before the owner had a limit are not counted.
local function running_rows(owner)
  if not running[owner] then
    local name, rows = key_of('running', owner), 0
    local held = redis.call('HGETALL', name)
    for place = 1, #held, 2 do
      if redis.call('ZSCORE', names.leases, held[place]) then
        rows = rows + tonumber(held[place + 1])
      else
        redis.call('HDEL', name, held[place])
      end
    end
    running[owner] = rows
  end
  return running[owner]
end

local function next_rows(id)
  local index = redis.call('ZRANGE', key_of('ready', id), 0, 0)[1]
  local chunk = index and get_chunk(id, index)
  return chunk and chunk.rows or 0
end

-- Whether the next chunk of the owner's job may start. A chunk that is larger than the limit runs alone.
local function may_start(owner, id)
  local most = tonumber(share_of(owner).max_running_rows)
  if not most or running_rows(owner) == 0 then return true end
  local known, rows = pcall(next_rows, id)
  return not known or running_rows(owner) + rows <= most
end

-- Count a chunk of the owner that starts under a lease of this name.
local function count_running(owner, name, rows)
  if not tonumber(share_of(owner).max_running_rows) then return end
  running[owner] = running_rows(owner) + rows
  redis.call('HSET', key_of('running', owner), name, rows)
  redis.call('PEXPIRE', key_of('running', owner), DAY_MS)
end

-- Remove jobs that a program of the previous version has ended or removed.
local function drop_ended(owner)
  for _, id in ipairs(redis.call('ZRANGE', key_of('open_jobs', owner), 0, 99)) do
    local state = redis.pcall('HGET', key_of('job', id), 'state')
    if type(state) ~= 'string' or terminal[state] then redis.call('ZREM', key_of('open_jobs', owner), id) end
  end
end

-- The owner's limit of unfinished jobs if it is reached; else nil.
local function exceeded_max_jobs(owner)
  local most = tonumber(share_of(owner).max_jobs)
  if not most or redis.call('ZCARD', key_of('open_jobs', owner)) < most then return nil end
  drop_ended(owner)
  return redis.call('ZCARD', key_of('open_jobs', owner)) >= most and most or nil
end
