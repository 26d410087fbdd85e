#!lua flags=allow-oom
-- Recovery's round: leases that ran out, pauses that are over.
-- ARGV: whether expired leases may be taken ('1' or '0'), settings
-- Returns the wake-ups to send.
local wakes, at = {}, now()
local function split(member) return string.match(member, '^([^:]+):(.+)$') end
if ARGV[1] == '1' then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'leased', '-inf', at, 'LIMIT', 0, 200)) do
    local run, job = split(member)
    local worker = redis.call('HGET', job_of(run, job), 'worker')
    wakes[#wakes + 1] = lose(run, job, redis.call('EXISTS', P .. 'worker:' .. worker) == 1 and 'crash' or 'loss')
  end
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'delayed', '-inf', at, 'LIMIT', 0, 200)) do
  local run, job = split(member)
  redis.call('ZREM', P .. 'delayed', member)
  wakes[#wakes + 1] = wait_in_line(run, job)
end
return wakes
