-- Forget the records of a minute whose window for repeats is over; what they came to is remembered in the same step.
--   KEYS[1] records       hash, id -> record; goes
--   KEYS[2] minutes       zset, minute -> ms at which it is looked at; the minute leaves it
--   KEYS[3] archived      hash, sums of what was shortened or forgotten
--   ARGV[1] minute        yyyyMMddHHmm
--   ARGV[2] forget_at_ms  not before
--   ARGV[3] fields        how many the records had when they were summed
--   ARGV[4] shortened     what "shortened" in archived was before that
--   ARGV[5..] sums        two each: field of archived, what it grows by
--   returns the first that applies:
--     "early"      repeats are still recognised by them
--     "changed"    a record came, was shortened or went since: the sums are not theirs
--     "forgotten"  now
--   flags  allow-oom
local t = redis.call("TIME")
if t[1] * 1000 < ARGV[2] + 0 then
  return "early"
end
local shortened = redis.call("HGET", KEYS[3], "shortened") or "0"
if redis.call("HLEN", KEYS[1]) ~= ARGV[3] + 0 or shortened ~= ARGV[4] then
  return "changed"
end
for at = 5, #ARGV, 2 do
  redis.call("HINCRBY", KEYS[3], ARGV[at], ARGV[at + 1])
end
redis.call("UNLINK", KEYS[1])
redis.call("ZREM", KEYS[2], ARGV[1])
return "forgotten"
