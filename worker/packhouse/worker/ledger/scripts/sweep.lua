#!lua flags=allow-oom
-- Recovery's round: leases that ran out, pauses that are over, wake-ups that were lost.
-- ARGV: whether expired leases may be taken ('1' or '0'), queues separated by spaces, settings
-- Returns {wake-ups of what is due, wake-ups that were lost}.
local due, at = {}, now()
local function split(member) return string.match(member, '^([^:]+):(.+)$') end
if ARGV[1] == '1' then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leased', '-inf', at, 'LIMIT', 0, 200)) do
    local run, job = split(member)
    local worker = redis.call('HGET', job_of(run, job), 'worker')
    if worker then
      due[#due + 1] = lose(run, job, redis.call('EXISTS', P .. 'worker:' .. worker) == 1 and 'crash' or 'loss')
    else
      -- Somebody has deleted the job: it must not keep the others from being brought back.
      redis.call('ZREM', P .. 'leased', member)
    end
  end
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', at, 'LIMIT', 0, 200)) do
  local run, job = split(member)
  redis.call('ZREM', P .. 'delayed', member)
  due[#due + 1] = wait_in_line(run, job)
end

-- Work takes waiting jobs in the order of their numbers, so a wake-up is lost where work has passed its job over, or
-- where none is left in the queue of Celery at all; and only where that was so in the round before too, since a wake-up
-- on its way from the queue to a process is in neither. What merely waits is left alone.
local function missed(queue, wakes)
  local line, notes = waiting_of(queue), P .. 'missed:' .. queue
  local limit
  if redis.call('LLEN', P .. 'celery:' .. queue) == 0 then
    limit = redis.call('GET', P .. 'sequence') or 0
  else
    limit = redis.call('HGET', P .. 'reached', queue) or 0
  end
  local head = redis.call('ZRANGEBYSCORE', line, '-inf', '(' .. limit + 1, 'LIMIT', 0, 1)[1] or ''
  local before = redis.call('HMGET', notes, 'head', 'limit')
  -- An idle queue is not written to.
  if head ~= '' or (before[1] and before[1] ~= '') then redis.call('HSET', notes, 'head', head, 'limit', limit) end
  if head == '' or before[1] ~= head then return end
  local lost = redis.call('ZRANGEBYSCORE', line, '-inf', math.min(limit, before[2]), 'LIMIT', 0, 500)
  for _, member in ipairs(lost) do
    local run, job = split(member)
    redis.call('ZREM', line, member)
    wakes[#wakes + 1] = wait_in_line(run, job)
  end
  redis.call('DEL', notes)
  if #lost > 0 then count('recoveries:wake_up', #lost) end
end

local lost = {}
for queue in string.gmatch(ARGV[2], '%S+') do missed(queue, lost) end
return {due, lost}
