-- Take a message that cannot be processed out of the way, with everything known about it.
--   KEYS[1] taken       list, what this consumer has in hand
--   KEYS[2] dead        stream: reason, error, deliveries, first_ms, last_ms, id, then the fields as published
--   ARGV[1] member
--   ARGV[2] deliveries
--   ARGV[3] reason
--   ARGV[4] error
--   ARGV[5] dead_max
--   returns the first that applies:
--     "full"  there are dead_max dead letters: it stays in hand
--     "lost"  it is not in hand any more: nothing changed
--     "ok"    it is a dead letter now
--   flags   allow-oom
-- @include "clock.lua"
local taken, dead, member = KEYS[1], KEYS[2], ARGV[1]
if redis.call("XLEN", dead) >= tonumber(ARGV[5]) then
  return "full"
end
if redis.call("LREM", taken, 1, member) == 0 then
  return "lost"
end
local packed = cmsgpack.unpack(member)
-- stylua: ignore
redis.call("XADD", dead, "*", "reason", ARGV[3], "error", ARGV[4], "deliveries", ARGV[2], "first_ms", packed[3],
  "last_ms", clock_ms(), "id", packed[1], unpack(packed, 5))
return "ok"
