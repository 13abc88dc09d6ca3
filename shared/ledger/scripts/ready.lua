-- How much is ready: ARGV: names → {model key, ready chunks, …} of every model version with active jobs
local found = {}
for _, model in ipairs(redis.call('SMEMBERS', names.active_models)) do
  table.insert(found, model)
  table.insert(found, ready_chunks(model))
end
return found
