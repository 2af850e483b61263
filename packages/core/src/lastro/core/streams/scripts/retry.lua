-- Give an entry another try later: out of the group, into the delayed set, on the server's time.
--   KEYS[1] stream      stream
--   KEYS[2] delayed     sorted set, packed message by due ms
--   ARGV[1] group
--   ARGV[2] consumer
--   ARGV[3] entry
--   ARGV[4] deliveries  so far, all told
--   ARGV[5] delay_ms
--   ARGV[6] keep        "1" for a log: other groups still find it there
--   returns the first that applies:
--     "lost"  another consumer has it, or nobody: nothing changed
--     "ok"    it comes back when its time has come
--   flags   allow-oom
-- @include "ack.lua"
-- @include "clock.lua"
-- @include "due.lua"
-- @include "entry.lua"
-- @include "held.lua"
local stream, delayed, group, consumer, entry, deliveries = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if held(stream, group, entry) ~= consumer then
  return "lost"
end
local found = redis.call("XRANGE", stream, entry, entry)[1]
if found then
  local _, first_ms, fields = entry_fields(found[2])
  local back_for = ARGV[6] == "1" and " " .. group or "" -- ARGV[6] keep
  first_ms = first_ms or string.match(entry, "^%d+")
  due_later(delayed, clock_ms() + ARGV[5], entry, deliveries, first_ms .. back_for, fields)
end
ack(stream, group, entry, ARGV[6] == "1")
return "ok"
