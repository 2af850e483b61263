-- Take a message that cannot be processed out of the way, with everything known about it.
--   KEYS[1] taken       list, what this consumer has in hand
--   KEYS[2] dead        stream: reason, error, deliveries, first_ms, last_ms, id, then the fields as published
--   KEYS[3] delayed     sorted set, packed message by due ms
--   ARGV[1] member
--   ARGV[2] deliveries
--   ARGV[3] reason
--   ARGV[4] error
--   ARGV[5] dead_max
--   ARGV[6] delay_ms
--   returns the first that applies:
--     "lost"  it is not in hand any more: nothing changed
--     "full"  there are dead_max dead letters: it comes back when its time has come, with its deliveries as they were
--     "ok"    it is a dead letter now
--   flags   allow-oom
-- @include "clock.lua"
-- @include "due.lua"
local taken, dead, delayed, member = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
if redis.call("LREM", taken, 1, member) == 0 then
  return "lost"
end
local packed = cmsgpack.unpack(member)
if redis.call("XLEN", dead) >= tonumber(ARGV[5]) then
  local deliveries = packed[4] .. " " .. packed[2]
  due_later(delayed, clock_ms() + ARGV[6], packed[1], deliveries, packed[3], { unpack(packed, 5) })
  return "full"
end
-- stylua: ignore
redis.call("XADD", dead, "*", "reason", ARGV[3], "error", ARGV[4], "deliveries", ARGV[2], "first_ms", packed[3],
  "last_ms", clock_ms(), "id", packed[1], unpack(packed, 5))
return "ok"
