-- A job's record, and where it has succeeded its chunks and what of it lies here: those who wait for its end ask
-- often, and get only the first. ARGV: names, job id, whether the latter are wanted in any case (0|1)
-- → {field, value, … of the job}, {index, record, … of its chunks}, {'rows' or 'result', bytes, …}
local job = redis.call('HGETALL', key_of('job', ARGV[2]))
if ARGV[3] == '0' and redis.call('HGET', key_of('job', ARGV[2]), 'state') ~= 'succeeded' then return {job, {}, {}} end
return {job, redis.call('HGETALL', key_of('chunks', ARGV[2])), redis.call('HGETALL', key_of('inline', ARGV[2]))}
