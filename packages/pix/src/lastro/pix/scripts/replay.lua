-- Put a dead letter back into the stream it came from, once.
--   KEYS[1] dead          stream
--   KEYS[2] source        stream
--   ARGV[1] letter        entry id in dead
--   ARGV[2..] fields      the entry's fields and values, in turn
--   returns "replayed", or "gone" when it is no longer there
-- @include "parts/returning.lua"
if not taken_out(KEYS[1], ARGV[1], KEYS[2], "stream") then
  return "gone"
end
redis.call("XADD", KEYS[2], "*", unpack(ARGV, 2))
return "replayed"
