-- Bring an event into another state.
--   KEYS[1] meta       hash
--   KEYS[2] events     stream; one entry when something changed
--   ARGV[1] state      to be
--   ARGV[2] starts_ms  or "" as it is, or "now" if that is later
--   ARGV[3] ends_ms    or "" as it is
--   ARGV[4] version    it must be, or "" whatever it is
--   ARGV[5..] before   states from which it may come
--   returns the first that applies:
--     "unknown"  there is no such event
--     "changed"  it is of another version; nothing changed
--     a state    it is in this one, from which it may not; nothing changed
--     "ok"       it is as asked
-- @include "clock.lua"
-- @include "parts/change.lua"
local meta, events, state, starts_ms, ends_ms, version = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, its_version = unpack(redis.call("HMGET", meta, "state", "version"))
if not now then
  return "unknown"
elseif version ~= "" and version ~= its_version then
  return "changed"
end
local may = false
for at = 5, #ARGV do
  may = may or ARGV[at] == now
end
if not may then
  return now
end
if starts_ms == "now" then
  local now_ms = clock_ms()
  starts_ms = tonumber(redis.call("HGET", meta, "starts_ms")) > now_ms and string.format("%.0f", now_ms) or ""
end
if now == state and starts_ms == "" and ends_ms == "" then
  return "ok"
end
redis.call("HSET", meta, "state", state)
if now == "open" and state ~= now then
  redis.call("HSET", meta, "held_ms", string.format("%.0f", clock_ms()))
elseif state == "open" and now ~= state then -- the clock of the waiting room goes on where it was held
  local room = redis.call("HMGET", meta, "room_ms", "starts_ms", "held_ms")
  if room[1] then
    local went = math.max(0, tonumber(room[3] or 0) - math.max(tonumber(room[1]), tonumber(room[2])))
    redis.call("HSET", meta, "room_ms", string.format("%.0f", clock_ms() - went))
  end
end
if starts_ms ~= "" then
  redis.call("HSET", meta, "starts_ms", starts_ms)
end
if ends_ms ~= "" then
  redis.call("HSET", meta, "ends_ms", ends_ms)
end
changed(meta, events)
return "ok"
