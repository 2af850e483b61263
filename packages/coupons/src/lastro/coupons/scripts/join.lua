-- A user's place in the waiting room; it keeps the number it got first.
-- Admitted are as many as a second's, and as many again each second that the event is open and somebody waits.
--   KEYS[1] room      hash user -> number, "#" -> the last number given
--   KEYS[2] stock     string
--   KEYS[3] meta      hash; its room_ms is when the first came, later by the time that does not count
--   ARGV[1] user_id
--   ARGV[2] room_max
--   returns {coupons left, users before this one, admitted in a second, ms now}; coupons left is
--     -1  there is no such event, or it is being recovered
--     and users before is -1 when the room is full, -2 when the event has none, -3 when the event is over
-- @include "clock.lua"
local room, stock, meta, user_id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local left = tonumber(redis.call("GET", stock) or -1)
local m = redis.call("HMGET", meta, "room", "starts_ms", "state", "room_ms", "held_ms")
local rate, now_ms = tonumber(m[1] or 0), clock_ms()
if left < 1 or rate == 0 then
  return { left, rate == 0 and -2 or 0, rate, now_ms }
end
if m[3] == "closed" or m[3] == "settled" then
  return { left, -3, rate, now_ms }
end
local began = tonumber(m[4] or now_ms)
local since = math.max(tonumber(m[2]), began)
local counts_ms = m[3] == "open" and now_ms or tonumber(m[5] or 0) -- until then; what is not open admits nobody
local number = tonumber(redis.call("HGET", room, user_id))
if not number then
  local last = tonumber(redis.call("HGET", room, "#") or 0)
  if last >= tonumber(ARGV[2]) then -- ARGV[2] room_max
    return { left, -1, rate, now_ms }
  end
  local full_ms = math.floor(counts_ms - last * 1000 / rate)
  if full_ms > since then -- all were admitted: the time in which nobody came admits nobody later
    began, since = full_ms, full_ms
  end
  number = redis.call("HINCRBY", room, "#", 1)
  redis.call("HSET", room, user_id, number)
  redis.call("HSET", meta, "room_ms", string.format("%.0f", began))
end
local served = counts_ms < since and 0 or rate + math.floor((counts_ms - since) * rate / 1000)
return { left, math.max(0, number - served), rate, now_ms }
