-- Make room for the payments whose ids carry one minute, with an end of life and a date for the archive.
--   KEYS[1] records       hash, id -> record; the field "" keeps it alive while empty
--   KEYS[2] minutes       zset, minute -> ms at which the archive looks at it
--   ARGV[1] minute        yyyyMMddHHmm
--   ARGV[2] forget_at_ms  when its records go
--   ARGV[3] visit_at_ms   when the archive may look
--   returns "open", or "over" when that end of life has passed
local t = redis.call("TIME")
if t[1] * 1000 >= ARGV[2] + 0 then
  return "over"
end
redis.call("HSETNX", KEYS[1], "", ARGV[1])
redis.call("PEXPIREAT", KEYS[1], ARGV[2])
redis.call("ZADD", KEYS[2], "GT", ARGV[3], ARGV[1])
return "open"
