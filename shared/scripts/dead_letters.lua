-- Unreadable items are set aside with the reason: once per place, the newest thousand.
local MOST_LETTERS, MOST_DATA_BYTES, REMEMBERED_S = 1000, 65536, 86400

-- → the letter's id, or false if this place was set aside within the last day
local function set_aside(stream, mark_pattern, kind, place, model, reason, data)
  local mark = string.gsub(mark_pattern, '{}', function() return place end)
  if not redis.call('SET', mark, kind, 'NX', 'EX', REMEMBERED_S) then return false end
  return redis.call('XADD', stream, 'MAXLEN', MOST_LETTERS, '*', 'kind', kind, 'place', place,
    'model', model, 'reason', reason, 'size_bytes', #data, 'data', string.sub(data, 1, MOST_DATA_BYTES))
end
