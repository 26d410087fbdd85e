#!lua flags=allow-oom
-- A worker says that it lives, looks at the leases of its place, and may take over the next sweep from all others.
-- ARGV: worker, name, milliseconds that this holds, place, milliseconds until the next sweep, queues that the worker
--       takes jobs of, separated by spaces, settings
-- Returns {1 where it is this worker that sweeps, else 0, leases as held.lua has them}.
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
local held = held_at(ARGV[4])
return {redis.call('SET', P .. 'sweep', '1', 'NX', 'PX', ARGV[5]) and 1 or 0, held}
