-- Renew a consumer's lease, and see what of its messages it still has.
--   KEYS[1] taken      list, what this consumer has in hand
--   KEYS[2] consumers  sorted set, name by end of its lease in ms
--   ARGV[1] consumer
--   ARGV[2] lease_ms
--   ARGV[3..] members  at most 500
--   returns those that are not in hand any more
--   flags   allow-oom
-- @include "clock.lua"
local taken, consumers = KEYS[1], KEYS[2]
redis.call("ZADD", consumers, clock_ms() + ARGV[2], ARGV[1])
local lost = {}
for at = 3, #ARGV do
  if not redis.call("LPOS", taken, ARGV[at]) then
    lost[#lost + 1] = ARGV[at]
  end
end
return lost
