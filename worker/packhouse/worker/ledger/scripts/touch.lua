-- A job is about to use a folder of assets, which must not be collected until the job is settled.
-- ARGV: folder (a digest), run, job, settings
-- Returns 1, or 0 where it is being removed at this moment.
if redis.call('EXISTS', P .. 'collecting:' .. ARGV[1]) == 1 then return 0 end
local key = P .. 'touched:' .. ARGV[1]
redis.call('HSET', key, 'at', now(), member_of(ARGV[2], ARGV[3]), '1')
-- A folder that is used for ever has few jobs that use it at a time: those that are settled are forgotten.
if redis.call('HLEN', key) > 64 then
  for _, member in ipairs(redis.call('HKEYS', key)) do
    local run, job = string.match(member, '^([^:]+):(.+)$')
    local state = run and redis.call('HGET', job_of(run, job), 'state')
    if run and (not state or state == 'settled') and member ~= member_of(ARGV[2], ARGV[3]) then
      redis.call('HDEL', key, member)
    end
  end
end
redis.call('EXPIRE', key, settings.retention_seconds)
return 1
