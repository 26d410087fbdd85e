#!lua flags=allow-oom
-- The event of an open run turned out to be none: the run ends as rejected.
-- ARGV: run, token, data of the rejected event, reason, settings
-- Returns 1, or 0 where the lease is no longer this process's.
local run, token = ARGV[1], ARGV[2]
local key = run_of(run)
local held = redis.call('HMGET', job_of(run, 'rank'), 'state', 'token')
if held[1] == 'settled' and held[2] == token then return 1 end
if not holds(run, 'rank', token) then return 0 end
close_job(run, 'rank', token)
local raw, digest = unpack(redis.call('HMGET', key, 'event', 'digest'))
bury({'reason', ARGV[4], 'run', run, 'bytes', #raw, 'digest', digest, 'event',
  string.sub(raw, 1, settings.dead_letter_bytes)})
-- Its id holds the digest: corrected and sent again, the same run id may be rejected again, or end well.
count('runs:rejected')
let_go_of_event(run)
finish(run, 'rejected', event(run, string.sub(digest, 8, 23) .. '/rejected', 'packhouse.packaging.rejected', ARGV[3], now()))
return 1
