-- Fail an interrupted upload with its reason; its running chunks no longer count.
-- ARGV: names, job id, code, detail → 1, or 0 if it was not uploading: it may have been sealed by a call with a lost
-- answer
if redis.call('HGET', key_of('job', ARGV[2]), 'state') ~= 'uploading' then return 0 end
fail(ARGV[2], ARGV[3], ARGV[4])
return 1
