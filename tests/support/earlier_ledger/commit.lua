-- Chunks' results count, each for itself: only under its current token, only once, and only until its job has ended.
-- ARGV: names, model key, then of each chunk job id, index, token, rows succeeded, rows failed, what its first failed
-- rows say as JSON, its result's bytes or ''
-- → {{outcome, …}, whether anything of the model version is ready}; outcome: committed | repeated | lost
local function commit(id, index, token, succeeded, failed, errors, result)
  local chunk = get_chunk(id, index)
  if not chunk or chunk.token ~= token then return 'lost' end
  if chunk.state == 'done' then return 'repeated' end
  if terminal[redis.call('HGET', key_of('job', id), 'state')] then
    release(id, index, chunk)
    return 'lost'
  end
  end_lease(id, index, chunk)
  chunk.state = 'done'
  if result ~= '' then redis.call('HSET', key_of('inline', id), 'result', result) end
  name_errors(id, index, cjson.decode(errors))
  end_chunk(id, index, chunk, tonumber(succeeded), tonumber(failed))
  return 'committed'
end

local outcomes = {}
for first = 3, #ARGV, 7 do
  local chunk = {unpack(ARGV, first, first + 6)}
  local outcome = guarded(chunk[1], function() return commit(unpack(chunk)) end)
  table.insert(outcomes, outcome or 'lost')
end
return {outcomes, anything_ready(ARGV[2])}
