-- Model versions with work in either lane. KEYS: for each version its online stream and its queue of jobs with
-- ready chunks, in pairs. → the indexes of the versions with work, from 0
local found = {}
for i = 1, #KEYS, 2 do
  if redis.call('XLEN', KEYS[i]) > 0 or redis.call('ZCARD', KEYS[i + 1]) > 0 then
    table.insert(found, (i - 1) / 2)
  end
end
return found
