-- The state of an online stream, without the contents of its entries. KEYS: the stream. ARGV: group
-- → {entries, entries delivered to a worker, id of the oldest or ''}
local entries = redis.call('XLEN', KEYS[1])
if entries == 0 then return {0, 0, ''} end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
local handed = pending.err and 0 or pending[1] -- no group: no worker has consumed yet
return {entries, math.min(handed, entries), redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]}
