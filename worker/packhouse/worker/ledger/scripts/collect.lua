-- A folder of assets is about to be removed: nobody may begin to use it for so long.
-- ARGV: folder (a digest), milliseconds in which nobody may have begun to use it, milliseconds that removing takes,
--       settings
-- Returns 1, or 0 where a job that uses it is not settled, or one has begun to since.
local key = P .. 'touched:' .. ARGV[1]
local at = redis.call('HGET', key, 'at')
if at and tonumber(at) > now() - ARGV[2] then return 0 end
for _, member in ipairs(redis.call('HKEYS', key)) do
  local run, job = string.match(member, '^([^:]+):(.+)$')
  local state = run and redis.call('HGET', job_of(run, job), 'state')
  if state and state ~= 'settled' then return 0 end
end
redis.call('SET', P .. 'collecting:' .. ARGV[1], '1', 'PX', ARGV[3])
return 1
