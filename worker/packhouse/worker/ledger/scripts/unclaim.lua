#!lua flags=allow-oom
-- ARGV: what is claimed, holder, settings
local key = P .. 'claim:' .. ARGV[1]
if redis.call('GET', key) == ARGV[2] then redis.call('DEL', key) end
return 1
