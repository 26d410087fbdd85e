-- Somebody does something that others would only do again: they wait for it. Taken again by its holder, a claim holds
-- for its full time from then. ARGV: what is claimed (a digest), holder, milliseconds, settings
-- Returns 1, or 0 where it is another's.
local key = P .. 'claim:' .. ARGV[1]
local holder = redis.call('GET', key)
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
return 1
