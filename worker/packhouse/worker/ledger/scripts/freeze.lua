-- The first plan of a package stays, and its destination is the run's until the package is settled.
-- ARGV: run, job, token, plan, name of the destination (a digest), settings
-- Returns {'frozen', plan}, {'lost'} or {'taken', names of the run that has the destination}.
local run, job = ARGV[1], ARGV[2]
if not holds(run, job, ARGV[3]) then return {'lost'} end
local key = job_of(run, job)
local frozen = redis.call('HGET', key, 'plan')
if frozen then return {'frozen', frozen} end
local destination = P .. 'destination:' .. ARGV[5]
local owner = redis.call('GET', destination)
if owner and owner ~= member_of(run, job) then
  return {'taken', redis.call('HGET', run_of(string.match(owner, '^[^:]+')), 'names') or ''}
end
redis.call('SET', destination, member_of(run, job))
redis.call('HSET', key, 'plan', ARGV[4], 'destination', destination)
return {'frozen', ARGV[4]}
