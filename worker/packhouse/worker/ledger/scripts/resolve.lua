-- An event that referred to its data now holds it: from here on all work with what was read first.
-- ARGV: run, token, event with its data, SHA-256 of the data, settings
-- Returns the event that holds, or false where the lease is no longer this process's.
local run = ARGV[1]
if not holds(run, 'rank', ARGV[2]) then return false end
local key = run_of(run)
if redis.call('HSETNX', key, 'data_sha256', ARGV[4]) == 1 then redis.call('HSET', key, 'event', ARGV[3]) end
return redis.call('HGET', key, 'event')
