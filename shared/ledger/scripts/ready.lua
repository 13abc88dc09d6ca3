-- How much is ready. ARGV: names → {model key, ready chunks, …} of every model version that had chunks
local found = {}
for _, model in ipairs(redis.call('HKEYS', names.clocks)) do
  local chunks = 0
  for _, id in ipairs(redis.call('ZRANGE', key_of('active', model), 0, -1)) do
    chunks = chunks + redis.call('ZCARD', key_of('ready', id))
  end
  table.insert(found, model)
  table.insert(found, chunks)
end
return found
