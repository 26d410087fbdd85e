#!lua flags=allow-oom
-- ARGV: run, job, token, milliseconds, stage, bytes done, bytes in all, milliseconds since the work last moved,
--       whether the package is about to be published ('1' or '0'), settings
-- Returns 1, or 0 where the lease is no longer this process's.
local run, job = ARGV[1], ARGV[2]
if not holds(run, job, ARGV[3]) then return 0 end
local key, member = job_of(run, job), member_of(run, job)
local expires = now() + ARGV[4]
redis.call('ZADD', P .. 'leased', expires, member)
redis.call('ZADD', P .. 'leased:' .. redis.call('HGET', key, 'place'), expires, member)
redis.call('HSET', key, 'expires', expires, 'stage', ARGV[5], 'done', ARGV[6], 'total', ARGV[7], 'moved', now() - ARGV[8])
-- From here on it is too late to cancel this attempt.
if ARGV[9] == '1' then redis.call('HSET', key, 'publishing', ARGV[3]) end
return 1
