-- What the latest dead letters are about, newest first; their events may be long and stay where they are.
-- ARGV: how many at most, bytes of each event to show, settings
-- Returns a list of {entry, reason, run id of the ledger or '', bytes, digest, bytes kept, head}.
local found = {}
for at, letter in ipairs(redis.call('XREVRANGE', P .. 'dead-letters', '+', '-', 'COUNT', ARGV[1])) do
  local fields = {}
  for index = 1, #letter[2], 2 do fields[letter[2][index]] = letter[2][index + 1] end
  local event = fields.event or ''
  found[at] = {letter[1], fields.reason or '', fields.run or '', fields.bytes or '0', fields.digest or '',
    tostring(#event), string.sub(event, 1, ARGV[2])}
end
return found
