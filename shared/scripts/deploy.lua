-- Store a model's deployment if its generation is the expected one, and add it to the history.
-- KEYS: the deployments, their version, the model's history
-- ARGV: model, expected generation or '', the record without generation and time as JSON, most entries of a history
-- → {1, the stored record} or {0, the current record or ''}
local model, expected, record = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local current = redis.call('HGET', KEYS[1], model)
local generation = current and cjson.decode(current).generation or 0
if expected ~= '' and tonumber(expected) ~= generation then return {0, current or ''} end

local time = redis.call('TIME')
record.generation = generation + 1
record.changed_at_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local text = cjson.encode(record)
redis.call('HSET', KEYS[1], model, text)
redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'record', text)
return {1, text}
