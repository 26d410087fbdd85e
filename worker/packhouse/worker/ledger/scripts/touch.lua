-- A job is about to use a folder of assets, which must not be collected until the job is settled.
-- ARGV: folder (a digest), run, job, settings
-- Returns 1, or 0 where it is being removed at this moment.
if redis.call('EXISTS', P .. 'collecting:' .. ARGV[1]) == 1 then return 0 end
local key = P .. 'touched:' .. ARGV[1]
redis.call('HSET', key, 'at', now(), member_of(ARGV[2], ARGV[3]), '1')
redis.call('EXPIRE', key, settings.retention_seconds)
return 1
