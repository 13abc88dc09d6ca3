-- How an online stream stands, without what its entries carry. KEYS: the stream. ARGV: group
-- → {entries, those of them that a worker was handed, id of the oldest or ''}
local entries = redis.call('XLEN', KEYS[1])
if entries == 0 then return {0, 0, ''} end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
local handed = pending.err and 0 or pending[1] -- no group: no worker has come yet
return {entries, math.min(handed, entries), redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1]}
