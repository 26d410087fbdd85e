#!lua flags=allow-oom
-- The leases of the processes of one place. ARGV: place, settings
return held_at(ARGV[1])
