-- Shared by every script of the ledger; put before each of them. KEYS[1] is the prefix of all keys, "{namespace}:":
-- one hash tag, so every key computed here lies on the node that runs the script.

local P = KEYS[1]

local function run_of(run) return P .. 'run:' .. run end
local function job_of(run, job) return P .. 'job:' .. run .. ':' .. job end
local function member_of(run, job) return run .. ':' .. job end
local function waiting_of(queue) return P .. 'waiting:' .. queue end
local function open_of(queue) return P .. 'open:' .. queue end

-- Milliseconds since 1970 by the server's clock, the only clock of the ledger.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- RFC 3339 in UTC, with milliseconds. Days to a civil date by counting 400-year eras that begin on 1 March.
local function iso(ms)
  local seconds = math.floor(ms / 1000)
  local days = math.floor(seconds / 86400)
  local rest = seconds - days * 86400
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local day_of_era = shifted - era * 146097
  local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
    - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local shifted_month = math.floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - math.floor((153 * shifted_month + 2) / 5) + 1
  local month = shifted_month < 10 and shifted_month + 3 or shifted_month - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, math.floor(rest / 3600),
    math.floor(rest % 3600 / 60), rest % 60, ms % 1000)
end

-- Settings that the scripts need travel with every call as one JSON object, the last argument.
local settings = cjson.decode(ARGV[#ARGV])

-- Whoever does not know the version of the records touches none of them; version.py says more. Version 1 had no number.
local version = tonumber(redis.call('GET', P .. 'version') or 1)
if version > settings.version or version < settings.oldest then
  return redis.error_reply('LEDGERVERSION ' .. version)
end
if version < settings.version then redis.call('SET', P .. 'version', settings.version) end

local function event(run, id, kind, data, at)
  return '{"specversion":"1.0","id":"' .. run .. '/' .. id .. '",' .. redis.call('HGET', run_of(run), 'names')
    .. ',"type":"' .. kind .. '","time":"' .. iso(at) .. '","datacontenttype":"application/json","data":' .. data .. '}'
end

local function emit(text)
  redis.call('XADD', P .. 'status', 'MAXLEN', '~', settings.status_length, '*', 'event', text)
end

-- A run that is packaged again after its final status is in its next round. Events of the first carry no number.
local function round_of(run) return tonumber(redis.call('HGET', run_of(run), 'round') or 1) end
local function in_round(run, id)
  local round = round_of(run)
  return round == 1 and id or id .. '/' .. round
end

-- Totals for monitoring, kept where the thing itself happens, so that each is counted once.
local function count(what, by) redis.call('HINCRBY', P .. 'counts', what, by or 1) end

-- A job joins the end of its queue's line. The caller sends the wake-up that belongs to the number returned; there is
-- none where somebody has deleted the job.
local function wait_in_line(run, job)
  local key = job_of(run, job)
  local queue = redis.call('HGET', key, 'queue')
  if not queue then return nil end
  local number = redis.call('INCR', P .. 'sequence')
  redis.call('HSET', key, 'state', 'waiting', 'number', number, 'since', now())
  redis.call('ZADD', waiting_of(queue), number, member_of(run, job))
  return {run, job, queue, tostring(number), redis.call('HGET', key, 'title')}
end

local function add_job(run, job, queue, package, title)
  local entry = redis.call('XADD', open_of(queue), '*', 'run', run, 'job', job)
  redis.call('HSET', job_of(run, job), 'queue', queue, 'package', package, 'title', title, 'entry', entry,
    'attempts', 0, 'crashes', 0, 'losses', 0, 'tries', 0)
  return wait_in_line(run, job)
end

-- No longer leased, waiting or delayed; whatever the job becomes next is the caller's to say.
local function take_out_of_line(run, job)
  local key = job_of(run, job)
  local held = redis.call('HMGET', key, 'queue', 'place')
  local member = member_of(run, job)
  redis.call('ZREM', waiting_of(held[1]), member)
  redis.call('ZREM', P .. 'leased', member)
  redis.call('ZREM', P .. 'delayed', member)
  if held[2] then redis.call('ZREM', P .. 'leased:' .. held[2], member) end
end

local function holds(run, job, token)
  local held = redis.call('HMGET', job_of(run, job), 'state', 'token')
  return held[1] == 'leased' and held[2] == token
end

local function close_job(run, job, token)
  local key = job_of(run, job)
  take_out_of_line(run, job)
  local held = redis.call('HMGET', key, 'queue', 'entry', 'destination')
  redis.call('XDEL', open_of(held[1]), held[2])
  if held[3] and redis.call('GET', held[3]) == member_of(run, job) then redis.call('DEL', held[3]) end
  redis.call('HSET', key, 'state', 'settled', 'token', token)
  redis.call('HDEL', key, 'plan', 'destination', 'expires', 'since', 'due', 'error', 'publishing', 'stage', 'done',
    'total', 'moved', 'doomed')
end

-- A letter that cannot be delivered. Both the number of letters and their bytes in all are bounded; the oldest go first.
local function size_of_letter(fields)
  for at = 1, #fields, 2 do if fields[at] == 'event' then return #fields[at + 1] end end
  return 0
end

local function drop_letter(entry)
  local letter = redis.call('XRANGE', P .. 'dead-letters', entry, entry)[1]
  if not letter then return 0 end
  redis.call('DECRBY', P .. 'dead-letters:bytes', size_of_letter(letter[2]))
  return redis.call('XDEL', P .. 'dead-letters', entry)
end

local function bury(fields)
  local letters, total = P .. 'dead-letters', P .. 'dead-letters:bytes'
  redis.call('XADD', letters, '*', unpack(fields))
  redis.call('INCRBY', total, size_of_letter(fields))
  while redis.call('XLEN', letters) > settings.dead_letter_length
    or tonumber(redis.call('GET', total)) > settings.dead_letter_total_bytes do
    local oldest = redis.call('XRANGE', letters, '-', '+', 'COUNT', 1)[1]
    if not oldest then
      redis.call('DEL', total)
      break
    end
    drop_letter(oldest[1])
  end
  count('dead_letters')
end

-- Runs with failed packages keep their event, so that they can be packaged again: `retryable` has them as run:bytes by
-- the time of their end. How much they keep in all is bounded; the oldest lose theirs first.
local function let_go_of_place(run)
  local kept = redis.call('HGET', run_of(run), 'kept')
  redis.call('HDEL', run_of(run), 'kept')
  if kept and redis.call('ZREM', P .. 'retryable', run .. ':' .. kept) == 1 then
    redis.call('DECRBY', P .. 'retryable:bytes', kept)
  end
end

local function let_go_of_event(run)
  let_go_of_place(run)
  redis.call('HDEL', run_of(run), 'event', 'candidates', 'left_out', 'counts')
end

local function keep_event(run)
  local key, line, total = run_of(run), P .. 'retryable', P .. 'retryable:bytes'
  local at, bytes = now(), 0
  for _, field in ipairs({'event', 'candidates', 'left_out', 'counts'}) do
    bytes = bytes + redis.call('HSTRLEN', key, field)
  end
  redis.call('HSET', key, 'kept', bytes)
  redis.call('ZADD', line, at, run .. ':' .. bytes)
  redis.call('INCRBY', total, bytes)
  -- Those whose record has expired meanwhile have nothing to lose but their place.
  local forgotten = at - settings.retention_seconds * 1000
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', forgotten, 'LIMIT', 0, 100)) do
    redis.call('ZREM', line, member)
    redis.call('DECRBY', total, (string.match(member, ':(%d+)$')))
  end
  for _ = 1, 1000 do
    if tonumber(redis.call('GET', total)) <= settings.failed_event_bytes then break end
    local oldest = redis.call('ZRANGE', line, 0, 0)[1]
    if not oldest then break end
    let_go_of_event((string.match(oldest, '^[^:]+')))
    if redis.call('ZREM', line, oldest) == 1 then redis.call('DECRBY', total, (string.match(oldest, ':(%d+)$'))) end
  end
  redis.call('EXPIRE', line, settings.retention_seconds)
  redis.call('EXPIRE', total, settings.retention_seconds)
end

-- The run's record, its jobs and its final event live on for the time of retention; what only work needed goes now.
local function finish(run, state, text)
  local key = run_of(run)
  redis.call('HSET', key, 'state', state)
  redis.call('HDEL', key, 'cancelled')
  redis.call('SET', P .. 'final:' .. run, text, 'EX', settings.retention_seconds)
  redis.call('EXPIRE', key, settings.retention_seconds)
  for job in string.gmatch(redis.call('HGET', key, 'jobs') or '', '%S+') do
    redis.call('EXPIRE', job_of(run, job), settings.retention_seconds)
  end
  redis.call('EXPIRE', job_of(run, 'rank'), settings.retention_seconds)
  emit(text)
end

-- The final status of a run's round, from the results of its jobs. `state` and `problem` are given where there are no jobs.
local function complete(run, state, problem)
  local key = run_of(run)
  local record = redis.call('HMGET', key, 'jobs', 'succeeded', 'failed', 'digest', 'candidates', 'left_out', 'opened',
    'reopened', 'counts')
  local results, round = {}, round_of(run)
  for job in string.gmatch(record[1] or '', '%S+') do
    results[#results + 1] = redis.call('HGET', job_of(run, job), 'result')
  end
  if not state then
    local good, bad = tonumber(record[2] or 0), tonumber(record[3] or 0)
    state = bad == 0 and 'succeeded' or (good == 0 and 'failed' or 'partly_succeeded')
  end
  count('runs:' .. state)
  local at, opened, reopened = now(), tonumber(record[7]), tonumber(record[8])
  local began = reopened or opened
  local data = '{"content_digest":"' .. record[4] .. '","state":"' .. state .. '","packages":['
    .. table.concat(results, ',') .. '],"candidates":' .. (record[5] or '[]') .. ',"left_out":' .. (record[6] or '[]')
    .. (record[9] and ',"counts":' .. record[9] or '') .. ',"warnings":[],'
    .. (problem and '"error":' .. problem .. ',' or '') .. '"timings":{"accepted_at":"'
    .. iso(opened) .. '",' .. (reopened and '"reopened_at":"' .. iso(reopened) .. '",' or '') .. '"completed_at":"'
    .. iso(at) .. '","seconds":' .. string.format('%.3f', (at - began) / 1000) .. '},"round":' .. round .. '}'
  redis.call('HSET', key, 'outcome', state)
  if state == 'failed' or state == 'partly_succeeded' then keep_event(run) else let_go_of_event(run) end
  finish(run, 'final', event(run, in_round(run, 'final'), 'packhouse.packaging.completed', data, at))
end

-- A package's result is recorded once; the last one of a run completes it.
local function settle(run, job, token, outcome, result)
  close_job(run, job, token)
  redis.call('HSET', job_of(run, job), 'result', result)
  emit(event(run, in_round(run, job .. '/' .. outcome), 'packhouse.package.' .. outcome, result, now()))
  -- Counting must not be what a result is lost by: a script that fails half-way has written the half before.
  local kind = cjson.decode(redis.call('HGET', job_of(run, job), 'package')).type or 'unknown'
  count('packages:' .. kind .. ':' .. outcome)
  local key = run_of(run)
  redis.call('HINCRBY', key, outcome, 1)
  if redis.call('HINCRBY', key, 'open_jobs', -1) == 0 then complete(run) end
end

-- A job ends without having been done to its end: the ranking ends the run, a package counts as failed.
local function fail(run, job, problem)
  local key = job_of(run, job)
  if job == 'rank' then
    close_job(run, job, '')
    complete(run, 'failed', problem)
  else
    local package, attempts = unpack(redis.call('HMGET', key, 'package', 'attempts'))
    settle(run, job, '', 'failed', string.sub(package, 1, -2) .. ',"state":"failed","attempts":' .. attempts
      .. ',"error":' .. problem .. '}')
  end
end

local function cancel(run, job)
  fail(run, job, cjson.encode({
    code = 'cancelled',
    message = 'The run was cancelled.',
    fix = 'packhouse retry packages what was cancelled after all.',
  }))
end

-- A lease has ended without its work: the job waits again, or fails where this has happened too often. Where it may
-- have left something behind, it is doomed: it waits for a process that clears up and settles it. Should that die too,
-- it fails as it is.
-- kind: 'crash' (the process died, its worker lived), 'loss' (the whole worker is gone), 'handback' (a worker stopped).
-- Returns the wake-up to send, or nil.
local function lose(run, job, kind)
  local key = job_of(run, job)
  take_out_of_line(run, job)
  count('recoveries:' .. kind)
  if redis.call('HEXISTS', run_of(run), 'cancelled') == 1 then
    cancel(run, job)
    return nil
  end
  if kind == 'handback' then return wait_in_line(run, job) end
  local field = kind == 'crash' and 'crashes' or 'losses'
  local limit = kind == 'crash' and settings.crash_limit or settings.loss_limit
  if redis.call('HINCRBY', key, field, 1) < limit then return wait_in_line(run, job) end
  local plan, doomed = unpack(redis.call('HMGET', key, 'plan', 'doomed'))
  local problem = cjson.encode({
    code = 'worker_lost',
    message = kind == 'crash'
      and 'The process died ' .. limit .. ' times while working on this, each time leaving its worker alive.'
      or 'The worker was lost ' .. limit .. ' times while working on this.',
    fix = kind == 'crash' and "It may need more memory than the worker's limit: see the worker's log, then packhouse retry."
      or 'See why workers die, then packhouse retry.',
  })
  if job ~= 'rank' and plan and not doomed then
    -- What its attempts have left beside the destination is still to be removed, by a process that has its plan.
    redis.call('HSET', key, 'doomed', problem)
    return wait_in_line(run, job)
  end
  fail(run, job, problem)
  return nil
end

-- The leases of the processes of one place: {run, job, token, worker, process} each.
local function held_at(place)
  local found = {}
  for _, member in ipairs(redis.call('ZRANGE', P .. 'leased:' .. place, 0, -1)) do
    local run, job = string.match(member, '^([^:]+):(.+)$')
    local held = redis.call('HMGET', job_of(run, job), 'token', 'worker', 'process')
    if held[1] and held[2] and held[3] then found[#found + 1] = {run, job, held[1], held[2], held[3]} end
  end
  return found
end
