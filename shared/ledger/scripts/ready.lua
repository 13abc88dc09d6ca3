-- Count ready chunks, no further than the limit: a queue may have any number of jobs. Chunks of an owner whose running
-- rows have reached the limit do not count.
-- ARGV: names, limit of chunks to count → {model key, ready chunks, …} of every model version that had chunks
local most, found = tonumber(ARGV[2]), {}

local function ready_of(owner, model, room)
  if not next_of_owner(owner, model, 0) then return 0 end
  local chunks = 0
  for _, id in ipairs(redis.call('ZRANGE', key_of('owner_active', model, owner), 0, room - 1)) do
    chunks = chunks + redis.call('ZCARD', key_of('ready', id))
    if chunks >= room then break end
  end
  return chunks
end

for _, model in ipairs(redis.call('HKEYS', names.clocks)) do
  adopt(model)
  local chunks = 0
  for _, owner in ipairs(redis.call('ZRANGE', key_of('owners', model), 0, -1)) do
    chunks = chunks + ready_of(owner, model, most - chunks)
    if chunks >= most then break end
  end
  table.insert(found, model)
  table.insert(found, chunks)
end
return found
