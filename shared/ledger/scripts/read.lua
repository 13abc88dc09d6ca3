-- A job's record and, if it has succeeded, its chunks and inline objects: clients that wait for its end ask often, and
-- get only the record. ARGV: names, job id, whether chunks and inline objects are wanted in any case (0|1)
-- → {field, value, … of the job}, {index, record, … of its chunks}, {'rows' or 'result', bytes, …}
local job = redis.call('HGETALL', key_of('job', ARGV[2]))
if ARGV[3] == '0' and redis.call('HGET', key_of('job', ARGV[2]), 'state') ~= 'succeeded' then return {job, {}, {}} end
return {job, redis.call('HGETALL', key_of('chunks', ARGV[2])), redis.call('HGETALL', key_of('inline', ARGV[2]))}
