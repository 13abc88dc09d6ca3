-- An entry goes back into its stream, as a new one: it was handed to a worker that must not run it.
-- Only if it is still pending, so that none is doubled. Where memory is full the script ends with its first write.
-- KEYS: the stream; ARGV: group, the entry's id, then field, value, … of the new entry → 1, or 0: it was settled
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if #pending == 0 then return 0 end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
return 1
