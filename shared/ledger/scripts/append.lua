-- ARGV: names, job id, lease_ms, required index of the first or '', rows and digest or '' of each chunk, … → as `append_chunks`
return append_chunks(ARGV[2], tonumber(ARGV[3]), ARGV[4], arguments_from(5))
