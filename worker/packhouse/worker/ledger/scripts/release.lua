#!lua flags=allow-oom
-- A transient error: the job waits out a pause that the ledger keeps, and joins the line again when it is over.
-- ARGV: run, job, token, milliseconds, settings
-- Returns 1, or 0 where the lease is no longer this process's.
local run, job = ARGV[1], ARGV[2]
if not holds(run, job, ARGV[3]) then return 0 end
take_out_of_line(run, job)
local key = job_of(run, job)
redis.call('HINCRBY', key, 'tries', 1)
redis.call('HSET', key, 'state', 'delayed')
redis.call('ZADD', P .. 'delayed', now() + ARGV[4], member_of(run, job))
return 1
