-- How much is ready, counted no further than the caller cares for: a line may hold any number of jobs.
-- ARGV: names, most chunks to count → {model key, ready chunks, …} of every model version that had chunks
local most, found = tonumber(ARGV[2]), {}
for _, model in ipairs(redis.call('HKEYS', names.clocks)) do
  local chunks = 0
  for _, id in ipairs(redis.call('ZRANGE', key_of('active', model), 0, most - 1)) do
    chunks = chunks + redis.call('ZCARD', key_of('ready', id))
    if chunks >= most then break end
  end
  table.insert(found, model)
  table.insert(found, chunks)
end
return found
