-- @include "parts/record.lua"
-- Take the right to ask a processor for its health: one caller of all processes, at most once per interval.
--   KEYS[1] health  hash; <processor>:polled is when the right was last taken
--   ARGV[1] processor
--   ARGV[2] every_ms
--   flags  allow-oom
--   returns the first that applies:
--     "wait"  somebody took it less than the interval ago, even if it died since
--     "go"    taken
local health, field, every_ms = KEYS[1], ARGV[1] .. ":polled", tonumber(ARGV[2])
local now = record_now()
if tonumber(now) - tonumber(redis.call("HGET", health, field) or 0) < every_ms then
  return "wait"
end
redis.call("HSET", health, field, now)
return "go"
