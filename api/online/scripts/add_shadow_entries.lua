-- Entries for a shadow version, as far as there is room; the others are dropped and counted.
-- KEYS: the list of entries, the hash of counts
-- ARGV: most entries, how long entries and counts live in s, name of the count, then message and rows of each
-- → the dropped rows
local most, kept_s, counts_kept_s, dropped_name = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local room, dropped = most - redis.call('LLEN', KEYS[1]), 0
for i = 5, #ARGV, 2 do
  if room > 0 then
    redis.call('RPUSH', KEYS[1], ARGV[i])
    room = room - 1
  else
    dropped = dropped + tonumber(ARGV[i + 1])
  end
end
redis.call('EXPIRE', KEYS[1], kept_s)
if dropped > 0 then
  redis.call('HINCRBY', KEYS[2], dropped_name, dropped)
  redis.call('EXPIRE', KEYS[2], counts_kept_s)
end
return dropped
