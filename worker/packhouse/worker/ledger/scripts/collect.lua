-- A folder of assets is about to be removed: nobody may begin to use it for so long.
-- ARGV: folder (a digest), claim of whoever uses it (a digest), milliseconds in which nobody may have begun to use it,
--       milliseconds that removing it takes, settings
-- Returns 1, or 0 where somebody uses it or has begun to since.
if redis.call('EXISTS', P .. 'claim:' .. ARGV[2]) == 1 then return 0 end
local touched = redis.call('GET', P .. 'touched:' .. ARGV[1])
if touched and tonumber(touched) > now() - ARGV[3] then return 0 end
redis.call('SET', P .. 'collecting:' .. ARGV[1], '1', 'PX', ARGV[4])
return 1
