-- Change how many coupons an event has, by a difference, once.
--   KEYS[1] meta     hash
--   KEYS[2] stock    string
--   KEYS[3] events   stream; one entry
--   KEYS[4] once     string, the delta of this id; lives ARGV[3]
--   ARGV[1] delta    may be negative
--   ARGV[2] total_max
--   ARGV[3] life_ms
--   returns the first that applies:
--     "conflict" this id changed it before, by another delta; nothing changed
--     "ok"       it has so many more, now or since the first call of this id
--     "unknown"  there is no such event, or it is being recovered
--     "settled"  it is over; nothing changed
--     "large"    it would have more than total_max; nothing changed
--     "short"    fewer are left than it should lose; nothing changed
-- @include "once.lua"
-- @include "parts/change.lua"
local meta, stock, events, once, delta, life_ms = KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[1]), ARGV[3]
local before = once_told(once)
if before then
  return before == ARGV[1] and "ok" or "conflict" -- ARGV[1] delta
end
local left = redis.call("GET", stock)
local m = redis.call("HMGET", meta, "state", "total")
if not left then
  return "unknown"
elseif m[1] == "settled" then
  return "settled"
elseif tonumber(m[2]) + delta > tonumber(ARGV[2]) then -- ARGV[2] total_max
  return "large"
elseif tonumber(left) + delta < 0 then
  return "short"
end
redis.call("INCRBY", stock, delta)
redis.call("HINCRBY", meta, "total", delta)
changed(meta, events)
once_store(once, ARGV[1], life_ms)
return "ok"
