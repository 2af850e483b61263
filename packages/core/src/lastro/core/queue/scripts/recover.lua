-- Put back what a consumer has in hand, oldest first in line again: when its lease is over, or it lets go itself.
--   KEYS[1] queue      list of packed messages, oldest right
--   KEYS[2] taken      list, what that consumer has in hand
--   KEYS[3] consumers  sorted set, name by end of its lease in ms
--   ARGV[1] consumer
--   ARGV[2] own        "1": it lets go itself, whatever its lease
--   returns how many were put back, at most 1,000; -1 when its lease is not over
--   flags   allow-oom
-- @include "clock.lua"
-- @include "opened.lua"
local queue, taken, consumers, consumer, own = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2] == "1"
local until_ms = tonumber(redis.call("ZSCORE", consumers, consumer) or 0)
if not own and until_ms > clock_ms() then
  return -1
end
local put_back = 0
while put_back < 1000 do
  local member = redis.call("LINDEX", taken, 0)
  if not member then
    break
  end
  local whole, packed = pcall(cmsgpack.unpack, member)
  if own and whole and opened_ours(packed) and packed[2] == "1" then
    packed[2] = "0" -- a first delivery that was let go did not happen: an orderly stop is no crash
    member = cmsgpack.pack(packed)
  end
  redis.call("RPUSH", queue, member)
  redis.call("LPOP", taken)
  put_back = put_back + 1
end
if redis.call("LLEN", taken) == 0 then
  redis.call("ZREM", consumers, consumer)
end
return put_back
