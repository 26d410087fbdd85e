#!lua flags=allow-oom
-- The ranking is done: its packages join their lines. Without any, the run is complete.
-- ARGV: run, token, data of the accepted event, candidates, left out (JSON lists of the first), counts (JSON), state where there are no jobs, jobs (JSON list of [id, queue, package, title]), settings
-- Returns {1, wake-ups} or {0} where the lease is no longer this process's.
local run, token = ARGV[1], ARGV[2]
local key = run_of(run)
local held = redis.call('HMGET', job_of(run, 'rank'), 'state', 'token')
if held[1] == 'settled' and held[2] == token then return {1, {}} end
if not holds(run, 'rank', token) then return {0} end
close_job(run, 'rank', token)
local jobs = cjson.decode(ARGV[8])
local names, wakes = {}, {}
emit(event(run, 'accepted', 'packhouse.packaging.accepted', ARGV[3], now()))
for index, job in ipairs(jobs) do names[index] = job[1] end
redis.call('HSET', key, 'candidates', ARGV[4], 'left_out', ARGV[5], 'counts', ARGV[6], 'jobs', table.concat(names, ' '),
  'open_jobs', #jobs)
for index, job in ipairs(jobs) do wakes[index] = add_job(run, job[1], job[2], job[3], job[4]) end
if #jobs == 0 then complete(run, ARGV[7]) end
return {1, wakes}
