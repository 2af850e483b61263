-- Count a delivery of an entry that went wrong twice before, at the moment it is handed to the handler.
--   KEYS[1] stream      stream
--   ARGV[1] group
--   ARGV[2] consumer
--   ARGV[3] entry
--   ARGV[4] deliveries  the new count
--   returns the first that applies:
--     "lost"  another consumer has it, or nobody
--     "ok"    counted, and its lease is fresh
--   flags   allow-oom
-- @include "held.lua"
local stream, group, consumer, entry, deliveries = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if held(stream, group, entry) ~= consumer then
  return "lost"
end
redis.call("XCLAIM", stream, group, consumer, 0, entry, "RETRYCOUNT", deliveries, "JUSTID")
return "ok"
