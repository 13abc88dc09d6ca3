-- Append the last chunks of a job and set its total: `append` and `seal` in one.
-- ARGV: names, job id, lease_ms, required index of the first or '', rows and digest or '' of each chunk, …
-- → the record: field, value, …; or the answer of `append_chunks` if nothing was appended
local id = ARGV[2]
local first = append_chunks(id, tonumber(ARGV[3]), ARGV[4], arguments_from(5))
if not first or first < 0 then return first end
seal_upload(id, '')
return redis.call('HGETALL', key_of('job', id))
