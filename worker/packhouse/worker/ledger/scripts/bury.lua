#!lua flags=allow-oom
-- An entry of the run queue that is no event: into the dead letters, with a rejected status where it has a name.
-- ARGV: entry id, consumer group, reason, length, digest, head, event id ('' for no status), names, data, settings
local at = now()
if redis.call('XACK', P .. 'runs', ARGV[2], ARGV[1]) == 0 then return 0 end
redis.call('XDEL', P .. 'runs', ARGV[1])
bury({'reason', ARGV[3], 'entry', ARGV[1], 'bytes', ARGV[4], 'digest', ARGV[5], 'event', ARGV[6]})
if ARGV[7] ~= '' then
  emit('{"specversion":"1.0","id":"' .. ARGV[7] .. '",' .. ARGV[8] .. ',"type":"packhouse.packaging.rejected","time":"'
    .. iso(at) .. '","datacontenttype":"application/json","data":' .. ARGV[9] .. '}')
end
return 1
