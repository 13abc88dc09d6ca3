-- The queue of a model version, to estimate how long a job waits.

-- Number of jobs to read per owner: all of a short queue, else about the same number of each owner.
local function looked_at(model, owners, most)
  local counts, order = {}, {}
  for place = 1, #owners, 2 do
    counts[owners[place]] = redis.call('ZCARD', key_of('owner_active', model, owners[place]))
    table.insert(order, owners[place])
  end
  table.sort(order, function(a, b) return counts[a] < counts[b] or counts[a] == counts[b] and a < b end)
  for place, owner in ipairs(order) do
    counts[owner] = math.min(counts[owner], math.ceil(most / (#order - place + 1)))
    most = most - counts[owner]
  end
  return counts
end

-- → {{owner, tag, weight, jobs in its queue, whether its running rows have reached the limit (0|1)}, …}, and
-- {{job id, owner, tag, rows accepted, rows succeeded, rows failed, priority, chunks}, …}
local function standings(model, most)
  local owners = redis.call('ZRANGE', key_of('owners', model), 0, most - 1, 'WITHSCORES')
  local counts, of_owners, of_jobs = looked_at(model, owners, most), {}, {}
  for place = 1, #owners, 2 do
    local owner = owners[place]
    local line = key_of('owner_active', model, owner)
    local jobs = redis.call('ZRANGE', line, 0, counts[owner] - 1, 'WITHSCORES')
    local at_limit = jobs[1] and not may_start(owner, jobs[1])
    local about = {owner, owners[place + 1], tostring(weight_of(owner)), redis.call('ZCARD', line), at_limit and 1 or 0}
    table.insert(of_owners, about)
    for at = 1, #jobs, 2 do
      local f = redis.call('HMGET', key_of('job', jobs[at]),
        'rows_accepted', 'rows_succeeded', 'rows_failed', 'priority', 'chunks_total')
      table.insert(of_jobs, {jobs[at], owner, jobs[at + 1], unpack(f)})
    end
  end
  return of_owners, of_jobs
end
