-- The rows and results of a retired job are gone. ARGV: names, job id
return redis.call('ZREM', names.expiring, ARGV[2])
