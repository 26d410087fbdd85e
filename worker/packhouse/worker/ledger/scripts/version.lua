#!lua flags=allow-oom
-- Nothing but what goes before every script: whether the ledger is of a version that the caller knows.
-- ARGV: settings
-- Returns the version.
return settings.version
