#!lua flags=allow-oom
-- ARGV: run, job, token, 'succeeded' or 'failed', result, settings
-- Returns 1, or 0 where the lease is no longer this process's and its result is not wanted.
local run, job, token = ARGV[1], ARGV[2], ARGV[3]
local held = redis.call('HMGET', job_of(run, job), 'state', 'token')
-- The answer to the first call may have been lost on the way: asked again, the same holder gets the same answer.
if held[1] == 'settled' and held[2] == token then return 1 end
if not holds(run, job, token) then return 0 end
settle(run, job, token, ARGV[4], ARGV[5])
return 1
