-- A dead letter goes to the run queue once more. Where its run was rejected, that is forgotten, or the event would be a
-- duplicate of itself.
-- ARGV: entry, event in place of the one kept ('' for that one), its signature ('' for none), settings
-- Returns {'unknown'}, {'truncated', bytes, bytes kept} or {'replayed', entry of the run queue}.
local letter = redis.call('XRANGE', P .. 'dead-letters', ARGV[1], ARGV[1])[1]
if not letter then return {'unknown'} end
local fields = {}
for index = 1, #letter[2], 2 do fields[letter[2][index]] = letter[2][index + 1] end
if #fields.event ~= tonumber(fields.bytes) then return {'truncated', fields.bytes, tostring(#fields.event)} end
local event = ARGV[2] ~= '' and ARGV[2] or fields.event
local sent
if ARGV[3] == '' then
  sent = redis.call('XADD', P .. 'runs', '*', 'event', event)
else
  sent = redis.call('XADD', P .. 'runs', '*', 'event', event, 'signature', ARGV[3])
end
if fields.run then
  local known = redis.call('HMGET', run_of(fields.run), 'state', 'digest')
  if known[1] == 'rejected' and known[2] == fields.digest then
    redis.call('DEL', run_of(fields.run), job_of(fields.run, 'rank'), P .. 'final:' .. fields.run)
  end
end
drop_letter(letter[1])
return {'replayed', sent}
