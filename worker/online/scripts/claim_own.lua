-- Return the unanswered entries of this consumer to a worker that reconnects. Delivery counters stay unchanged, because
-- a broken connection is not a run; XREADGROUP of the history would increment them.
-- KEYS: online streams. ARGV: group, consumer
-- → {index of the stream, entry id, deliveries, fields, …}
local group, me = ARGV[1], ARGV[2]
local claimed = {}

for i, stream in ipairs(KEYS) do
  for _, item in ipairs(redis.call('XPENDING', stream, group, '-', '+', 1000000, me)) do
    local got = redis.call('XCLAIM', stream, group, me, 0, item[1], 'RETRYCOUNT', item[4])
    if got[1] and got[1][2] then
      for _, value in ipairs({i, got[1][1], item[4], got[1][2]}) do table.insert(claimed, value) end
    else
      redis.call('XACK', stream, group, item[1]) -- removed by its sender
    end
  end
end
return claimed
