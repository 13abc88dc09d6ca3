-- Entries for the online lane, of one loop turn of a gateway. All are added or, where memory is full, none.
-- KEYS: the stream of each. ARGV: the names of the two fields, then message and rows of each
-- → the id of each
local ids = {}
for i, stream in ipairs(KEYS) do
  ids[i] = redis.call('XADD', stream, '*', ARGV[1], ARGV[2 * i + 1], ARGV[2], ARGV[2 * i + 2])
end
return ids
