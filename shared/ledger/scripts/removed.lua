-- Confirm that the rows and results of a retired job are removed. ARGV: names, job id
return redis.call('ZREM', names.expiring, ARGV[2])
