-- Put what a silent consumer held back at the end of the list it came from: it is the oldest there is.
--   KEYS[1] source        list
--   KEYS[2] in_hand       list, what that consumer holds
--   KEYS[3] hands         zset, consumer -> ms of its last sign of life
--   ARGV[1] consumer
--   ARGV[2] idle_ms       silent for so long
--   returns how many went back; 0 when it is alive
-- @include "parts/batch.lua"
local seen = call("ZSCORE", KEYS[3], ARGV[1])
if seen and now_ms() - seen < ARGV[2] + 0 then
  return 0
end
local back = 0
while call("LMOVE", KEYS[2], KEYS[1], "RIGHT", "RIGHT") do
  back = back + 1
end
call("ZREM", KEYS[3], ARGV[1])
return back
