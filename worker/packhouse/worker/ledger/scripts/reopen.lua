-- An operator has the failed packages of a run packaged again: the run is open once more, in its next round. Its final
-- event gives way to one that says so. The jobs are delayed until now, so that recovery's next round wakes them.
-- ARGV: run, names of packages (JSON list; empty for all that failed), settings
-- Returns {'unknown'}, {'open'}, {'rejected'}, {'succeeded'}, {'gone'} where the event is no longer kept, {'none', name}
-- where no failed package has that name, or {'reopened', round, packages (JSON list)}.
local run = ARGV[1]
local key = run_of(run)
local record = redis.call('HMGET', key, 'state', 'jobs', 'event')
if not record[1] then return {'unknown'} end
if record[1] ~= 'final' then return {record[1]} end
local wanted, found, failed, packages = {}, {}, {}, {}
for _, name in ipairs(cjson.decode(ARGV[2])) do wanted[#wanted + 1] = name end
for job in string.gmatch(record[2] or '', '%S+') do
  local result, package = unpack(redis.call('HMGET', job_of(run, job), 'result', 'package'))
  if result and cjson.decode(result).state == 'failed' then
    local name, chosen = cjson.decode(package).name, #wanted == 0
    for _, one in ipairs(wanted) do
      if one == name then chosen, found[one] = true, true end
    end
    if chosen then
      failed[#failed + 1] = job
      packages[#packages + 1] = package
    end
  end
end
for _, name in ipairs(wanted) do
  if not found[name] then return {'none', name} end
end
-- A run whose ranking was given up has no packages yet.
local unranked = not record[2] and redis.call('HGET', key, 'outcome') == 'failed'
if #failed == 0 and not unranked then return {'succeeded'} end
if not record[3] then return {'gone'} end
if unranked then failed = {'rank'} end

local round, at = round_of(run) + 1, now()
let_go_of_place(run)
redis.call('HSET', key, 'state', 'open', 'round', round, 'reopened', at)
if not unranked then
  redis.call('HSET', key, 'open_jobs', #failed)
  redis.call('HINCRBY', key, 'failed', -#failed)
end
redis.call('PERSIST', key)
for job in string.gmatch('rank ' .. (record[2] or ''), '%S+') do redis.call('PERSIST', job_of(run, job)) end
-- What came of trying the models may be what the retry is for.
redis.call('DEL', P .. 'checks:' .. run)
for _, job in ipairs(failed) do
  local record = job_of(run, job)
  local queue = redis.call('HGET', record, 'queue')
  redis.call('HDEL', record, 'result', 'started')
  redis.call('HSET', record, 'state', 'delayed', 'crashes', 0, 'losses', 0, 'tries', 0, 'since', at, 'due', at,
    'entry', redis.call('XADD', open_of(queue), '*', 'run', run, 'job', job))
  redis.call('ZADD', P .. 'delayed', at, member_of(run, job))
end
count('runs:reopened')
local list = '[' .. table.concat(packages, ',') .. ']'
local text = event(run, 'reopened/' .. round, 'packhouse.packaging.reopened', '{"round":' .. round .. ',"packages":'
  .. list .. '}', at)
redis.call('SET', P .. 'final:' .. run, text)
emit(text)
return {'reopened', round, list}
