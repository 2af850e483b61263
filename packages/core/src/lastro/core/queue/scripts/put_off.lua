-- Give a message another try later, on the server's time.
--   KEYS[1] taken       list, what this consumer has in hand
--   KEYS[2] delayed     sorted set, packed message by due ms
--   ARGV[1] member
--   ARGV[2] deliveries  so far, all told
--   ARGV[3] delay_ms
--   returns the first that applies:
--     "lost"  it is not in hand any more: nothing changed
--     "ok"    it comes back when its time has come
--   flags   allow-oom
-- @include "clock.lua"
-- @include "due.lua"
local taken, delayed, member = KEYS[1], KEYS[2], ARGV[1]
if redis.call("LREM", taken, 1, member) == 0 then
  return "lost"
end
local packed = cmsgpack.unpack(member)
due_later(delayed, clock_ms() + ARGV[3], packed[1], ARGV[2], packed[3], { unpack(packed, 5) })
return "ok"
