-- The last chunks of a job, and with them its total: `append` and `seal` as one.
-- ARGV: names, job id, lease_ms, index that the first must have or '', rows and their digest or '' of each chunk, …
-- → the record: field, value, …; or what `append_chunks` says of a job that it adds nothing to
local id = ARGV[2]
local first = append_chunks(id, tonumber(ARGV[3]), ARGV[4], arguments_from(5))
if not first or first < 0 then return first end
seal_upload(id, '')
return redis.call('HGETALL', key_of('job', id))
