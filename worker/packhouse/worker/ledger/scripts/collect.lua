-- A folder of assets is about to be removed: nobody may begin to use it for so long.
-- ARGV: folder (a digest), milliseconds in which nobody may have used it, milliseconds that removing it takes, settings
-- Returns 1, or 0 where somebody has used it since.
local touched = redis.call('GET', P .. 'touched:' .. ARGV[1])
if touched and tonumber(touched) > now() - ARGV[2] then return 0 end
redis.call('SET', P .. 'collecting:' .. ARGV[1], '1', 'PX', ARGV[3])
return 1
