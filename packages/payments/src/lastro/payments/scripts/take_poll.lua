-- @include "parts/record.lua"
-- Take the right to ask a processor for its health: one caller of all processes, at most once per interval.
--   KEYS[1] health  hash; <processor>:polled is when the right was last taken
--   ARGV[1] processor
--   ARGV[2] every_ms
--   flags  allow-oom
--   returns 0 when it was taken; else for how many ms more it stays with whoever took it, even if that died since
local health, field, every_ms = KEYS[1], ARGV[1] .. ":polled", tonumber(ARGV[2])
local now = record_now()
local left = tonumber(redis.call("HGET", health, field) or 0) + every_ms - tonumber(now)
if left > 0 then
  return left
end
redis.call("HSET", health, field, now)
return 0
