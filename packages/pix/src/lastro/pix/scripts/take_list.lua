-- Take the oldest messages of a list into one consumer's hand, where a crash does not lose them.
--   KEYS[1] source        list, pushed left, taken right
--   KEYS[2] in_hand       list, what this consumer holds
--   KEYS[3] hands         zset, consumer -> ms of its last sign of life
--   ARGV[1] consumer
--   ARGV[2] count
--   returns what is in the hand now, oldest first: what it held before, or up to count new messages
-- @include "parts/batch.lua"
call("ZADD", KEYS[3], whole(now_ms()), ARGV[1])
if call("LLEN", KEYS[2]) == 0 then
  for _ = 1, ARGV[2] do
    if not call("LMOVE", KEYS[1], KEYS[2], "RIGHT", "RIGHT") then
      break
    end
  end
end
return call("LRANGE", KEYS[2], 0, -1)
