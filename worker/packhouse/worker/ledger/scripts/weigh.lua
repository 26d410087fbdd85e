#!lua flags=allow-oom
-- Where a file lies in a storage account. Places that were not written down again for the time of retention are
-- forgotten, and the oldest where there are too many. ARGV: account, SHA-256, place, most places, settings
local places, ages, at = P .. 'weights:' .. ARGV[1], P .. 'weights-at:' .. ARGV[1], now()
redis.call('HSET', places, ARGV[2], ARGV[3])
redis.call('ZADD', ages, at, ARGV[2])
-- An earlier release wrote down no times: its places count as written now.
if redis.call('HLEN', places) > redis.call('ZCARD', ages) then
  for _, sha256 in ipairs(redis.call('HKEYS', places)) do redis.call('ZADD', ages, 'NX', at, sha256) end
end
local function forget(list)
  for _, sha256 in ipairs(list) do
    redis.call('HDEL', places, sha256)
    redis.call('ZREM', ages, sha256)
  end
end
forget(redis.call('ZRANGEBYSCORE', ages, '-inf', at - settings.retention_seconds * 1000, 'LIMIT', 0, 500))
local over = redis.call('ZCARD', ages) - tonumber(ARGV[4])
if over > 0 then forget(redis.call('ZRANGE', ages, 0, math.min(over, 500) - 1)) end
redis.call('EXPIRE', places, settings.retention_seconds)
redis.call('EXPIRE', ages, settings.retention_seconds)
return 1
