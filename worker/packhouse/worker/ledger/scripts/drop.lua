#!lua flags=allow-oom
-- Dead letters are thrown away. ARGV: entries (JSON list; empty for all), settings
-- Returns how many there were.
local letters, total = P .. 'dead-letters', P .. 'dead-letters:bytes'
local entries, count = cjson.decode(ARGV[1]), 0
if #entries == 0 then
  count = redis.call('XLEN', letters)
  redis.call('DEL', letters, total)
  return count
end
for _, entry in ipairs(entries) do count = count + drop_letter(entry) end
return count
