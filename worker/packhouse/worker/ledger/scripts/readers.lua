#!lua flags=allow-oom
-- Readers of the run queue that were killed are forgotten. One with entries in hand stays until they are taken over; one
-- that lives after all comes back by itself when it reads. In one step: what a reader takes in between would be lost.
-- ARGV: consumer group, milliseconds without a sign of the reader, settings
-- Returns how many.
local stream, count = P .. 'runs', 0
local found = redis.pcall('XINFO', 'CONSUMERS', stream, ARGV[1])
-- No run queue yet, or no group.
if found.err then return 0 end
for _, row in ipairs(found) do
  local one = {}
  for i = 1, #row, 2 do one[row[i]] = row[i + 1] end
  if one.pending == 0 and one.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', stream, ARGV[1], one.name)
    count = count + 1
  end
end
return count
