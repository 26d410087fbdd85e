-- Somebody is about to use a folder of assets: it must not be collected now. ARGV: folder (a digest), settings
-- Returns 1, or 0 where it is being removed at this moment.
if redis.call('EXISTS', P .. 'collecting:' .. ARGV[1]) == 1 then return 0 end
redis.call('SET', P .. 'touched:' .. ARGV[1], now(), 'EX', settings.retention_seconds)
return 1
