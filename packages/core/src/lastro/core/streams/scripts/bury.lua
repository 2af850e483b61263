-- Take an entry that cannot be processed out of the way, with everything known about it.
--   KEYS[1] stream      stream
--   KEYS[2] dead        stream: reason, error, deliveries, first_ms and in a log the group, last_ms, id, then the fields
--   ARGV[1] group
--   ARGV[2] consumer
--   ARGV[3] entry
--   ARGV[4] deliveries
--   ARGV[5] reason
--   ARGV[6] error
--   ARGV[7] dead_max
--   ARGV[8] keep        "1" for a log: other groups still find it there
--   returns the first that applies:
--     "lost"  another consumer has it, or nobody: nothing changed
--     "full"  there are dead_max dead letters: it stays pending, nothing is thrown away
--     "ok"    it is a dead letter now
--   flags   allow-oom
-- @include "ack.lua"
-- @include "clock.lua"
-- @include "entry.lua"
-- @include "held.lua"
local stream, dead, group, consumer, entry, deliveries = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if held(stream, group, entry) ~= consumer then
  return "lost"
end
if redis.call("XLEN", dead) >= tonumber(ARGV[7]) then
  return "full"
end
local found = redis.call("XRANGE", stream, entry, entry)[1]
if found then
  local _, first_ms, fields = entry_fields(found[2])
  local back_for = ARGV[8] == "1" and " " .. group or "" -- ARGV[8] keep
  local fits = math.min(#fields, 7800) -- unpack() fails at 8,000; more than a message may have, so a replay dies again
  local cut = fits < #fields and "; the first " .. fits / 2 .. " are kept" or ""
  -- stylua: ignore
  redis.call("XADD", dead, "*", "reason", ARGV[5], "error", ARGV[6] .. cut, "deliveries", deliveries,
    "first_ms", (first_ms or string.match(entry, "^%d+")) .. back_for, "last_ms", clock_ms(), "id", entry, unpack(fields, 1, fits))
end
ack(stream, group, entry, ARGV[8] == "1")
return "ok"
