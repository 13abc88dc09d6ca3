-- The upload broke off: the job ends as failed, with its reason; what runs of it no longer counts.
-- ARGV: names, job id, code, detail → 1, or 0 where it was not uploading: it may have been sealed by a call whose
-- answer was lost
if redis.call('HGET', key_of('job', ARGV[2]), 'state') ~= 'uploading' then return 0 end
fail(ARGV[2], ARGV[3], ARGV[4])
return 1
