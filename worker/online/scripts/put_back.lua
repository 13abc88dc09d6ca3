-- Put an entry back into its stream as a new entry, because this worker must not run it.
-- Only a pending entry is put back, so that none is duplicated. If memory is full the script fails at its first write.
-- KEYS: the stream; ARGV: group, the entry's id, then field, value, … of the new entry → 1, or 0: already settled
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #pending == 0 then return 0 end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
return 1
