#!lua flags=allow-oom
-- A transient error: the job waits out a pause that the ledger keeps, and joins the line again when it is over.
-- ARGV: run, job, token, milliseconds, the error (JSON), whether it counts as a try (1 or 0), settings
-- Returns 1, or 0 where the lease is no longer this process's.
local run, job = ARGV[1], ARGV[2]
if not holds(run, job, ARGV[3]) then return 0 end
if redis.call('HEXISTS', run_of(run), 'cancelled') == 1 then
  cancel(run, job)
  return 1
end
take_out_of_line(run, job)
local key, at = job_of(run, job), now()
redis.call('HINCRBY', key, 'tries', ARGV[6])
redis.call('HSET', key, 'state', 'delayed', 'since', at, 'due', at + ARGV[4], 'error', ARGV[5])
redis.call('ZADD', P .. 'delayed', at + ARGV[4], member_of(run, job))
if job ~= 'rank' then
  local package, attempts = unpack(redis.call('HMGET', key, 'package', 'attempts'))
  emit(event(run, job .. '/delayed/' .. attempts, 'packhouse.package.delayed', '{"package":' .. package .. ',"attempt":'
    .. attempts .. ',"seconds":' .. string.format('%.3f', ARGV[4] / 1000) .. ',"error":' .. ARGV[5] .. '}', at))
end
return 1
