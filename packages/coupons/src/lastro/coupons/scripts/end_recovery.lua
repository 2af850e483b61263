-- Give coupons again: the stock is what the winners leave.
--   KEYS[1] meta          hash
--   KEYS[2] stock         string; set here
--   KEYS[3] participants  hash
--   KEYS[4] returned      hash
--   KEYS[5] events        stream; one entry
--   KEYS[6] eligible      set of users
--   ARGV[1] epoch         of this recovery
--   returns the first that applies:
--     "other"  another recovery began since; nothing changed
--     "nobody" the event was open to users that were named, and nobody is named: it is paused
--     "ok"     the event is as it was before
-- @include "parts/change.lua"
local meta, stock, participants = KEYS[1], KEYS[2], KEYS[3]
local returned, events, eligible = KEYS[4], KEYS[5], KEYS[6]
local m = redis.call("HMGET", meta, "state", "epoch", "was", "total", "eligible_only")
if m[1] ~= "recovering" or m[2] ~= ARGV[1] then -- ARGV[1] epoch
  return "other"
end
local left = tonumber(m[4]) - redis.call("HLEN", participants) + redis.call("HLEN", returned)
redis.call("SET", stock, math.max(0, left))
local nobody = m[3] == "open" and m[5] == "1" and redis.call("EXISTS", eligible) == 0
redis.call("HSET", meta, "state", nobody and "paused" or m[3])
redis.call("HDEL", meta, "was")
changed(meta, events)
return nobody and "nobody" or "ok"
