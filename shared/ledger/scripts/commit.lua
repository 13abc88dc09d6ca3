-- A chunk's result counts: only under the current token, only once, and only until its job has ended.
-- ARGV: names, job id, index, token, rows succeeded, rows failed, what its first failed rows say as JSON, model key
-- → {outcome, whether anything of the model version is ready}; outcome: committed | repeated | lost
local id, index, token = ARGV[2], ARGV[3], ARGV[4]
local job = key_of('job', id)

local function commit()
  local chunk = get_chunk(id, index)
  if not chunk or chunk.token ~= token then return 'lost' end
  if chunk.state == 'done' then return 'repeated' end
  if terminal[redis.call('HGET', job, 'state')] then
    release(id, index, chunk)
    return 'lost'
  end
  end_lease(id, index, chunk)
  chunk.state = 'done'
  name_errors(id, index, cjson.decode(ARGV[7]))
  end_chunk(id, index, chunk, tonumber(ARGV[5]), tonumber(ARGV[6]))
  return 'committed'
end

return {guarded(id, commit) or 'lost', anything_ready(ARGV[8])}
