-- The jobs in the fair order of a model version. ARGV: names, model key, limit of jobs
-- → {now_ms, owners, jobs}, as `standings`
return {now_ms(), standings(ARGV[2], tonumber(ARGV[3]))}
