-- Waiting jobs of one queue whose wake-up was lost. Work takes them in the order of their numbers, so one is missed
-- where work has passed it over, or where no wake-up is left in the queue at all; and only where that was so in the
-- round before too, since a wake-up on its way from the queue to a process is in neither. What merely waits is left alone.
-- ARGV: queue, wake-ups in the queue, settings
-- Returns the wake-ups to send.
local queue, messages = ARGV[1], tonumber(ARGV[2])
local line, notes = waiting_of(queue), P .. 'missed:' .. queue
local limit
if messages == 0 then
  limit = redis.call('GET', P .. 'sequence') or 0
else
  limit = redis.call('HGET', P .. 'reached', queue) or 0
end
local head = redis.call('ZRANGEBYSCORE', line, '-inf', '(' .. limit + 1, 'LIMIT', 0, 1)[1] or ''
local before = redis.call('HMGET', notes, 'head', 'limit')
redis.call('HSET', notes, 'head', head, 'limit', limit)
if head == '' or before[1] ~= head then return {} end
local wakes = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', math.min(limit, before[2]), 'LIMIT', 0, 500)) do
  local run, job = string.match(member, '^([^:]+):(.+)$')
  redis.call('ZREM', line, member)
  wakes[#wakes + 1] = wait_in_line(run, job)
end
redis.call('DEL', notes)
if #wakes > 0 then count('recoveries:wake_up', #wakes) end
return wakes
