-- Take a turn, or go on with one's own: of all that could do a thing, one does.
--   KEYS[1] turn          string, whose turn it is; lives ARGV[2]
--   ARGV[1] worker
--   ARGV[2] life_ms       from now
--   returns "mine", or "another's"
--   flags  allow-oom
if (redis.call("GET", KEYS[1]) or ARGV[1]) ~= ARGV[1] then
  return "another's"
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return "mine"
