#!lua flags=allow-oom
-- A worker says that it lives, looks at the leases of its place, may take over the next sweep from all others, and may be
-- one of the few that wait at the run queue: the server looks at each that waits there whenever an event comes.
-- ARGV: worker, name, milliseconds that this holds, place, milliseconds until the next sweep, queues that the worker
--       takes jobs of, separated by spaces, most workers that wait at the run queue, settings
-- Returns {1 where it is this worker that sweeps, else 0, leases as held.lua has them, 1 where it waits, else 0}.
redis.call('SET', P .. 'worker:' .. ARGV[1], ARGV[2], 'PX', ARGV[3])
local at = now()
local taken = {}
for queue in string.gmatch(ARGV[6], '%S+') do
  taken[#taken + 1] = at + ARGV[3]
  taken[#taken + 1] = queue .. ' ' .. ARGV[1]
end
if #taken > 0 then
  redis.call('ZREMRANGEBYSCORE', P .. 'takers', '-inf', at)
  redis.call('ZADD', P .. 'takers', unpack(taken))
  redis.call('PEXPIRE', P .. 'takers', ARGV[3])
end
local readers, waits = P .. 'readers', 0
redis.call('ZREMRANGEBYSCORE', readers, '-inf', at)
if redis.call('ZSCORE', readers, ARGV[1]) or redis.call('ZCARD', readers) < tonumber(ARGV[7]) then
  redis.call('ZADD', readers, at + ARGV[3], ARGV[1])
  redis.call('PEXPIRE', readers, ARGV[3])
  waits = 1
end
local held = held_at(ARGV[4])
return {redis.call('SET', P .. 'sweep', '1', 'NX', 'PX', ARGV[5]) and 1 or 0, held, waits}
