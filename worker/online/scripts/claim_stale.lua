-- Claim entries of dead consumers at once, and entries of live consumers after the batch limit.
-- Delivery counters stay unchanged: the worker increments them before it runs an entry alone.
-- KEYS: online streams. ARGV: group, consumer, key pattern of heartbeats, batch limit in ms, maximum entries, ids of
-- workers that are known to have ended although their heartbeat has not expired
-- → {index of the stream, entry id, deliveries, fields, …}
local group, me, pattern = ARGV[1], ARGV[2], ARGV[3]
local limit_ms, most = ARGV[4], tonumber(ARGV[5])
local claimed, ended = {}, {}
for i = 6, #ARGV do ended[ARGV[i]] = true end

local function alive(consumer)
  return not ended[consumer] and redis.call('EXISTS', (string.gsub(pattern, '{}', function() return consumer end))) == 1
end

local function take(i, stream, pending)
  for _, item in ipairs(pending) do
    local got = redis.call('XCLAIM', stream, group, me, 0, item[1], 'RETRYCOUNT', item[4])
    if got[1] and got[1][2] then
      for _, value in ipairs({i, got[1][1], item[4], got[1][2]}) do table.insert(claimed, value) end
    else
      redis.call('XACK', stream, group, item[1]) -- removed by its sender
    end
  end
end

for i, stream in ipairs(KEYS) do
  for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local consumer = info[2]
    local left = most - #claimed / 4
    if consumer ~= me and left > 0 then
      if alive(consumer) then
        take(i, stream, redis.call('XPENDING', stream, group, 'IDLE', limit_ms, '-', '+', left, consumer))
      else
        take(i, stream, redis.call('XPENDING', stream, group, '-', '+', left, consumer))
        if #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) == 0 then
          redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
        end
      end
    end
  end
end
return claimed
