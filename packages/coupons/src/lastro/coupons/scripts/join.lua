-- A user's place in the waiting room; it keeps the number it got first.
--   KEYS[1] room      hash user -> number, "#" -> the last number given
--   KEYS[2] stock     string
--   KEYS[3] meta      hash
--   ARGV[1] user_id
--   ARGV[2] room_max
--   returns {coupons left, users before this one, admitted in a second, ms now}; coupons left is
--     -1  there is no such event, or it is being recovered
--     and users before is -1 when the room is full, -2 when the event has none, -3 when the event is over
-- @include "clock.lua"
local room, stock, meta, user_id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local left = tonumber(redis.call("GET", stock) or -1)
local m = redis.call("HMGET", meta, "room", "starts_ms", "state")
local rate, now_ms = tonumber(m[1] or 0), clock_ms()
if left < 1 or rate == 0 then
  return { left, rate == 0 and -2 or 0, rate, now_ms }
end
if m[3] == "closed" or m[3] == "settled" then
  return { left, -3, rate, now_ms }
end
local number = tonumber(redis.call("HGET", room, user_id))
if not number then
  if tonumber(redis.call("HGET", room, "#") or 0) >= tonumber(ARGV[2]) then -- ARGV[2] room_max
    return { left, -1, rate, now_ms }
  end
  number = redis.call("HINCRBY", room, "#", 1)
  redis.call("HSET", room, user_id, number)
  redis.call("HSETNX", meta, "room_ms", string.format("%.0f", now_ms))
end
local since = math.max(tonumber(m[2]), tonumber(redis.call("HGET", meta, "room_ms")))
local served = now_ms < since and 0 or rate + math.floor((now_ms - since) * rate / 1000)
return { left, math.max(0, number - served), rate, now_ms }
