-- One turn of an engine on the online lane: send the answers of a batch and settle its entries, then read the next
-- batch: as many entries as fit, from the stream with the oldest head. Either half may be left out.
-- Answers are sent first: if memory is full the script fails at the first answer, and nothing is settled.
-- KEYS: the answered stream, if any; the gateways' streams; the online streams to read from
-- ARGV: group, consumer, field of a message, maximum replies in a stream, field of an entry's rows, number of replies,
--       number of entries, then the replies, the ids of the entries, and the maximum batch rows of each stream to read
-- → {Redis' clock in ms, index of the stream, entries}, or only the clock if no entry waits
local group, consumer, field, most_kept = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local rows_field, replies, settled = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local first_key, first_arg = 0, 7

if settled > 0 then
  for i = 1, replies do
    -- no stream: the gateway has ended, so its answers are dropped
    redis.call('XADD', KEYS[1 + i], 'NOMKSTREAM', 'MAXLEN', '~', most_kept, '*', field, ARGV[7 + i])
  end
  first_key, first_arg = 1 + replies, 7 + replies + settled
  for first = 8 + replies, first_arg, 1000 do -- Lua limits arguments to a few thousand per call
    local last = math.min(first + 999, first_arg)
    redis.call('XACK', KEYS[1], group, unpack(ARGV, first, last))
    redis.call('XDEL', KEYS[1], unpack(ARGV, first, last))
  end
end

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
    if fields[i] == rows_field then return math.max(1, tonumber(fields[i + 1]) or 1) end
  end
  return 1
end

-- The number of waiting entries that fit. Entries are read in steps, because reading loads the whole messages. The
-- first step is a batch of entries of the size of the head.
local function fitting(stream, after, head, most)
  local count, rows, step = 0, 0, math.max(1, math.floor(most / rows_of(head)))
  while rows < most do
    local entries = redis.call('XRANGE', stream, after, '+', 'COUNT', step)
    for _, entry in ipairs(entries) do
      rows = rows + rows_of(entry)
      if count > 0 and rows > most then return count end
      count = count + 1
      after = '(' .. entry[1]
    end
    if #entries < step then break end
    step = 2 * step
  end
  return count
end

local best, best_head, best_after
for i = 1, #KEYS - first_key do
  local stream = KEYS[first_key + i]
  local after = '(' .. delivered(stream)
  local head = redis.call('XRANGE', stream, after, '+', 'COUNT', 1)[1]
  if head and (not best or sooner(head[1], best_head[1])) then
    best, best_head, best_after = i, head, after
  end
end
if not best then return {now} end

local stream, most = KEYS[first_key + best], tonumber(ARGV[first_arg + best])
local count = fitting(stream, best_after, best_head, most)
local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', stream, '>')
if not read then return {now} end
return {now, best, read[1][2]}
