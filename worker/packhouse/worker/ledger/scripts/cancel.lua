#!lua flags=allow-oom
-- An operator ends a run. Packages that wait end at once; those at work lose their lease, and stop when they see that.
-- A package that is being published at this moment is finished, unless its attempt fails or is lost.
-- ARGV: run, settings
-- Returns {'unknown'}, {'over'} or {'cancelled', jobs ended, jobs that are being published}.
local run = ARGV[1]
local key = run_of(run)
local state = redis.call('HGET', key, 'state')
if not state then return {'unknown'} end
if state ~= 'open' then return {'over'} end
local ended, publishing, open = 0, 0, {}
redis.call('HSET', key, 'cancelled', now())
for job in string.gmatch('rank ' .. (redis.call('HGET', key, 'jobs') or ''), '%S+') do
  local held = redis.call('HMGET', job_of(run, job), 'state', 'token', 'publishing')
  if held[1] == 'leased' and held[2] == held[3] then
    publishing = publishing + 1
  elseif held[1] and held[1] ~= 'settled' then
    open[#open + 1] = job
  end
end
for _, job in ipairs(open) do
  cancel(run, job)
  ended = ended + 1
end
return {'cancelled', ended, publishing}
