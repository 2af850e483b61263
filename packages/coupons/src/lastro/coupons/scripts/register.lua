-- Name an event among those whose streams are read.
--   KEYS[1] live        hash event -> created ms
--   ARGV[1] event_id
--   ARGV[2] events_max
--   returns the first that applies:
--     "ok"    it is named
--     "full"  there are events_max others
-- @include "clock.lua"
local live, event_id, events_max = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call("HEXISTS", live, event_id) == 0 then
  if redis.call("HLEN", live) >= events_max then
    return "full"
  end
  redis.call("HSET", live, event_id, string.format("%.0f", clock_ms()))
end
return "ok"
