-- Put a dead letter back onto the list it came from, once.
--   KEYS[1] dead          stream
--   KEYS[2] source        list, the newest left
--   ARGV[1] letter        entry id in dead
--   ARGV[2] message       as it came
--   returns "replayed", or "gone" when it is no longer there
-- @include "parts/returning.lua"
if not taken_out(KEYS[1], ARGV[1], KEYS[2], "list") then
  return "gone"
end
redis.call("LPUSH", KEYS[2], ARGV[2])
return "replayed"
