-- Look at a member of a wheel again later, itself or each of its parts; never at one that has gone meanwhile.
--   KEYS[1] wheel         zset, member -> ms at which it is looked at
--   ARGV[1] member        leaves it
--   ARGV[2] at_ms
--   ARGV[3..] parts       come instead
--   returns "gone", or "set aside"
--   flags  allow-oom
if redis.call("ZREM", KEYS[1], ARGV[1]) == 0 then
  return "gone"
end
for at = 3, #ARGV do
  redis.call("ZADD", KEYS[1], ARGV[2], ARGV[at])
end
return "set aside"
