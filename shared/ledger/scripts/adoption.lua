-- Place jobs that a program of the previous version put into `active` in the queue of their owner.

local ADOPTED_AT_ONCE = 100

-- Check the next part of `active`; a complete round sees every job that stays in it.
local function adopt(model)
  local first = fair_time(model, 'adopted', 0)
  local ids = redis.call('ZRANGE', key_of('active', model), first, first + ADOPTED_AT_ONCE - 1)
  for _, id in ipairs(ids) do
    if redis.call('HEXISTS', key_of('placed', model), id) == 0 then
      guarded(id, function() enter(id, model) end, model)
    end
  end
  local next_first = #ids == ADOPTED_AT_ONCE and first + #ids or 0
  if next_first ~= first then redis.call('HSET', key_of('fair_times', model), 'adopted', next_first) end
end
