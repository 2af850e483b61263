-- Give coupons again: the stock is what the winners leave.
--   KEYS[1] meta          hash
--   KEYS[2] stock         string; set here
--   KEYS[3] participants  hash
--   KEYS[4] returned      hash
--   KEYS[5] events        stream; one entry
--   ARGV[1] epoch         of this recovery
--   returns the first that applies:
--     "other"  another recovery began since; nothing changed
--     "ok"     the event is as it was before
-- @include "parts/change.lua"
local meta, stock, participants, returned, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local m = redis.call("HMGET", meta, "state", "epoch", "was", "total")
if m[1] ~= "recovering" or m[2] ~= ARGV[1] then -- ARGV[1] epoch
  return "other"
end
local left = tonumber(m[4]) - redis.call("HLEN", participants) + redis.call("HLEN", returned)
redis.call("SET", stock, math.max(0, left))
redis.call("HSET", meta, "state", m[3])
redis.call("HDEL", meta, "was")
changed(meta, events)
return "ok"
