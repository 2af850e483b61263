-- An event at one moment.
--   KEYS[1] meta          hash
--   KEYS[2] stock         string
--   KEYS[3] participants  hash
--   KEYS[4] returned      hash
--   returns {ms now, coupons left or -1, winners, returned, then field, value, … of meta}
--   flags   allow-oom
-- @include "clock.lua"
local meta, stock, participants, returned = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local told = { clock_ms(), tonumber(redis.call("GET", stock) or -1) }
told[3], told[4] = redis.call("HLEN", participants), redis.call("HLEN", returned)
for _, part in ipairs(redis.call("HGETALL", meta)) do
  told[#told + 1] = part
end
return told
