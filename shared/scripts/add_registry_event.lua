-- Store an event of a model registry. One that deploys a version must be newer than all before of its model.
-- KEYS: the events, the times of the newest events that deploy
-- ARGV: id, the record as JSON, model, its time if it deploys, else ''
-- → 1, or 0 if it is stored already, or not new enough
if ARGV[4] ~= '' and redis.call('ZADD', KEYS[2], 'GT', 'CH', ARGV[4], ARGV[3]) == 0 then return 0 end
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
