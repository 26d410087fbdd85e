#!lua flags=allow-oom
-- ARGV: run, job, token, milliseconds, settings
-- Returns 1, or 0 where the lease is no longer this process's.
local run, job = ARGV[1], ARGV[2]
if not holds(run, job, ARGV[3]) then return 0 end
local key, member = job_of(run, job), member_of(run, job)
local expires = now() + ARGV[4]
redis.call('ZADD', P .. 'leased', expires, member)
redis.call('ZADD', P .. 'leased:' .. redis.call('HGET', key, 'place'), expires, member)
redis.call('HSET', key, 'expires', expires)
return 1
