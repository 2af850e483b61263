-- Put the unit of a cancelled coupon back into stock, once.
--   KEYS[1] meta         hash
--   KEYS[2] stock        string
--   KEYS[3] returned     hash issuance -> ms
--   ARGV[1] issuance_id
--   ARGV[2] coupon_id    of the event that gave it
--   returns the first that applies:
--     "again"  it went back before
--     "kept"   the event does not take it: it is over, or its plan keeps what was cancelled, or it is another
--     "ok"     it is in stock
-- @include "clock.lua"
local meta, stock, returned, issuance_id, coupon_id = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
if redis.call("HEXISTS", returned, issuance_id) == 1 then
  return "again"
end
local m = redis.call("HMGET", meta, "state", "returns_stock", "ends_ms", "coupon_id")
local now_ms = clock_ms()
local over = m[3] and m[3] ~= "0" and now_ms >= tonumber(m[3])
if over or m[4] ~= coupon_id or m[2] ~= "1" or (m[1] ~= "open" and m[1] ~= "paused") then
  return "kept"
end
redis.call("HSET", returned, issuance_id, string.format("%.0f", now_ms))
redis.call("INCR", stock)
redis.call("HINCRBY", meta, "gen", 1)
return "ok"
