-- Make room for the payments whose ids carry one minute, with a date for whoever archives and forgets them.
--   KEYS[1] records       hash, id -> record; the field "" keeps it alive while empty
--   KEYS[2] minutes       zset, minute -> ms at which it is looked at
--   ARGV[1] minute        yyyyMMddHHmm
--   ARGV[2] forget_at_ms  when its records may go
--   ARGV[3] visit_at_ms   when there may be something to archive, or to forget
--   returns "open", or "over" when they have gone for good; while they only may go, they stay as they are
local t = redis.call("TIME")
if t[1] * 1000 >= ARGV[2] + 0 then
  return redis.call("EXISTS", KEYS[1]) == 1 and "open" or "over"
end
redis.call("HSETNX", KEYS[1], "", ARGV[1])
redis.call("ZADD", KEYS[2], "GT", ARGV[3], ARGV[1])
return "open"
