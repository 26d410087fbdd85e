#!lua flags=allow-oom
-- What an attempt decides before it acts on it, so that the next attempt decides alike. The first note of a name stays,
-- unless it is the one to be replaced. ARGV: run, job, token, name, note, note to be replaced ('' for none), settings
-- Returns the note that holds, or false where the lease is no longer this process's.
local run, job = ARGV[1], ARGV[2]
if not holds(run, job, ARGV[3]) then return false end
local key, field = job_of(run, job), 'note:' .. ARGV[4]
local known = redis.call('HGET', key, field)
if known and known ~= ARGV[6] then return known end
redis.call('HSET', key, field, ARGV[5])
return ARGV[5]
