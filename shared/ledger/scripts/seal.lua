-- ARGV: names, job id, required number of chunks or '' → as `seal_upload`
return seal_upload(ARGV[2], ARGV[3])
