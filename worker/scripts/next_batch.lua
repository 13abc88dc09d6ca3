-- The next batch of one model version: of the stream whose head is oldest, as many entries as fit.
-- KEYS: online streams. ARGV: group, consumer, then the rows of a batch for each stream
-- → {Redis' clock in ms, index of the stream, entries}, or only the clock where nothing waits
local group, consumer = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function delivered(stream)
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local name, last
    for i = 1, #info, 2 do
      if info[i] == 'name' then name = info[i + 1] end
      if info[i] == 'last-delivered-id' then last = info[i + 1] end
    end
    if name == group then return last end
  end
end

local function sooner(a, b)
  local a_ms, a_n = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_n = string.match(b, '(%d+)-(%d+)')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_n) < tonumber(b_n)
end

local function rows_of(entry)
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'r' then return tonumber(fields[i + 1]) or 1 end
  end
  return 1
end

local best, best_head, best_after
for i, stream in ipairs(KEYS) do
  local after = '(' .. delivered(stream)
  local head = redis.call('XRANGE', stream, after, '+', 'COUNT', 1)[1]
  if head and (not best or sooner(head[1], best_head)) then
    best, best_head, best_after = i, head[1], after
  end
end
if not best then return {now} end

local most = tonumber(ARGV[2 + best])
local count, rows = 0, 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[best], best_after, '+', 'COUNT', most)) do
  rows = rows + rows_of(entry)
  if count > 0 and rows > most then break end
  count = count + 1
end
local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', KEYS[best], '>')
if not read then return {now} end
return {now, best, read[1][2]}
