#!lua flags=allow-oom
-- The holder of a lease is known to be gone, or hands it back.
-- ARGV: run, job, token, kind ('crash', 'loss' or 'handback'), settings
-- Returns {wake-up} or {} where it is no longer leased so, or has failed for good.
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return {} end
-- A worker that said it leaves ends its processes itself: that is no crash, whoever sees it first.
local worker = redis.call('HGET', job_of(ARGV[1], ARGV[2]), 'worker')
local leaving = redis.call('EXISTS', P .. 'leaving:' .. worker) == 1
local wake = lose(ARGV[1], ARGV[2], leaving and 'handback' or ARGV[4])
return wake and {wake} or {}
