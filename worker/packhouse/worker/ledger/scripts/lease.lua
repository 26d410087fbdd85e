-- A process takes a job to work on it.
-- ARGV: run, job, token, milliseconds, worker, worker name as JSON, place, process, settings
-- Returns {'leased', attempt, tries, milliseconds since the first start, plan or '', names, digest, event, why it is
-- doomed or ''} or {'settled'|'taken'|'delayed'}. A long event is not in it ('') and to be read by itself. To clear up
-- after a doomed job is no attempt at it.
local run, job, token, worker, place = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[7]
local key, member = job_of(run, job), member_of(run, job)
local held = redis.call('HMGET', key, 'state', 'queue', 'number', 'package', 'started', 'plan', 'tries', 'token',
  'doomed')
if not held[1] or held[1] == 'settled' then return {'settled'} end
if held[1] == 'delayed' then return {'delayed'} end
-- The answer to the first call may have been lost on the way: the same process asks again with the same token.
if held[1] == 'leased' and held[8] ~= token then return {'taken'} end
local at = now()
local attempt = redis.call('HGET', key, 'attempts')
if held[1] == 'waiting' then
  if not held[9] then attempt = redis.call('HINCRBY', key, 'attempts', 1) end
  take_out_of_line(run, job)
  -- The highest number that work has reached: recovery sees by it whether a waiting job was passed over.
  local reached = redis.call('HGET', P .. 'reached', held[2])
  if not reached or tonumber(reached) < tonumber(held[3]) then redis.call('HSET', P .. 'reached', held[2], held[3]) end
  if job ~= 'rank' and not held[9] then
    emit(event(run, job .. '/started/' .. attempt, 'packhouse.package.started', '{"package":' .. held[4]
      .. ',"attempt":' .. attempt .. ',"worker":' .. ARGV[6] .. '}', at))
  end
end
local expires = at + ARGV[4]
redis.call('ZADD', P .. 'leased', expires, member)
redis.call('ZADD', P .. 'leased:' .. place, expires, member)
redis.call('HSETNX', key, 'started', at)
redis.call('HSET', key, 'state', 'leased', 'token', token, 'expires', expires, 'worker', worker, 'place', place,
  'process', ARGV[8], 'by', ARGV[6], 'moved', at)
if held[1] == 'waiting' then
  redis.call('HSET', key, 'since', at)
  redis.call('HDEL', key, 'publishing', 'stage', 'done', 'total')
end
local of_run = run_of(run)
local about = redis.call('HMGET', of_run, 'names', 'digest')
local brief = redis.call('HSTRLEN', of_run, 'event') <= 1048576
return {'leased', tonumber(attempt), tonumber(held[7]), at - tonumber(held[5] or at), held[6] or '', about[1], about[2],
  brief and redis.call('HGET', of_run, 'event') or '', held[9] or ''}
