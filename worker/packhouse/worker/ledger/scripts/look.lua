-- Where a run stands, for people. ARGV: run, settings
-- Returns a JSON object: now, state, round, opened, and for each job that is not settled its record with what is known
-- of its queue; or false where the ledger has no such run. Times are in milliseconds.
local run, at = ARGV[1], now()
local key = run_of(run)
local record = redis.call('HMGET', key, 'state', 'round', 'opened', 'jobs')
if not record[1] then return false end

local takers = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. 'takers', '(' .. at, '+inf')) do
  local queue = string.match(member, '^%S+')
  takers[queue] = (takers[queue] or 0) + 1
end

-- Whether a job of a queue is at work, as far as the first ones tell: a sign that its workers do take jobs.
local function at_work(queue)
  for _, member in ipairs(redis.call('ZRANGE', P .. 'leased', 0, 499)) do
    local other, job = string.match(member, '^([^:]+):(.+)$')
    if redis.call('HGET', job_of(other, job), 'queue') == queue then return true end
  end
  return false
end

local jobs, settled = {}, 0
for job in string.gmatch('rank ' .. (record[4] or ''), '%S+') do
  local held = {job = job}
  local fields = redis.call('HGETALL', job_of(run, job))
  for index = 1, #fields, 2 do
    local name = fields[index]
    if name ~= 'plan' and name ~= 'result' and string.sub(name, 1, 5) ~= 'note:' then held[name] = fields[index + 1] end
  end
  if held.state == 'settled' or not held.state then
    if job ~= 'rank' then settled = settled + 1 end
  else
    held.takers = takers[held.queue] or 0
    held.place = redis.call('ZRANK', waiting_of(held.queue), member_of(run, job))
    held.line = redis.call('ZCARD', waiting_of(held.queue))
    -- Who is not the next to be taken has others to wait for, whatever they do.
    if held.place == 0 then held.at_work = at_work(held.queue) end
    held.worker_lives = held.worker and redis.call('EXISTS', P .. 'worker:' .. held.worker) == 1
    jobs[#jobs + 1] = held
  end
end
return cjson.encode({now = at, state = record[1], round = tonumber(record[2] or 1), opened = tonumber(record[3]),
  settled = settled, jobs = #jobs > 0 and jobs or nil})
