-- Confirm that the rows and results of an expired job are removed. ARGV: names, job id
return redis.call('ZREM', names.expiring, ARGV[2])
