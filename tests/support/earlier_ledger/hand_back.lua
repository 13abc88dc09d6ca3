-- The holder of the token cannot go on: the chunk is ready again at once. A worker that merely stops was not
-- at fault, and the attempt does not count. ARGV: names, job id, index, token, counts (0|1), model key
-- → whether anything of the model version is ready
local id, index, token = ARGV[2], ARGV[3], ARGV[4]
local chunk = held_chunk(id, index, token)
if chunk then
  if ARGV[5] == '0' then chunk.attempts = chunk.attempts - 1 end
  guarded(id, function() release(id, index, chunk) end)
end
return anything_ready(ARGV[6])
