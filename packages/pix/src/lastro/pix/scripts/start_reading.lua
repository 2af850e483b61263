-- Let one more reader pull from an outbox, or the same one go on, unless too many do.
--   KEYS[1] readers       zset, reader -> ms at which it is forgotten; lives as long
--   ARGV[1] reader
--   ARGV[2] readers_max
--   ARGV[3] life_ms
--   returns "reading", or "full"
--   flags  allow-oom
-- @include "parts/batch.lua"
local now = now_ms()
call("ZREMRANGEBYSCORE", KEYS[1], "-inf", whole(now))
if not call("ZSCORE", KEYS[1], ARGV[1]) and call("ZCARD", KEYS[1]) >= ARGV[2] + 0 then
  return "full"
end
call("ZADD", KEYS[1], whole(now + ARGV[3]), ARGV[1])
call("PEXPIRE", KEYS[1], ARGV[3])
return "reading"
