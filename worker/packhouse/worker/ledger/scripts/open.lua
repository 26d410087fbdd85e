-- A run enters the ledger, and its ranking the line.
-- ARGV: run, names (JSON members "source" and "subject"), content digest, event id, event, queue, title,
--       consumer group, entry of the run queue ('' for none), settings
-- Returns {'opened', wake-up}, {'duplicate'} or {'reused', digest of the run that has the id}.
local run, digest = ARGV[1], ARGV[3]
local key = run_of(run)
local known = redis.call('HMGET', key, 'digest', 'state')
-- In the ledger and out of the queue in one step: an entry that was taken in is not read again.
local function taken()
  if ARGV[9] ~= '' then
    redis.call('XACK', P .. 'runs', ARGV[8], ARGV[9])
    redis.call('XDEL', P .. 'runs', ARGV[9])
  end
end
if known[1] == digest then
  taken()
  return {'duplicate'}
end
-- A rejected event was never a run: corrected, it may come again under the same id.
if known[1] and known[2] ~= 'rejected' then return {'reused', known[1]} end
redis.call('DEL', key, job_of(run, 'rank'), P .. 'final:' .. run)
redis.call('HSET', key, 'names', ARGV[2], 'digest', digest, 'event_id', ARGV[4], 'event', ARGV[5], 'state', 'open',
  'opened', now())
count('runs:opened')
taken()
return {'opened', add_job(run, 'rank', ARGV[6], '{}', ARGV[7])}
