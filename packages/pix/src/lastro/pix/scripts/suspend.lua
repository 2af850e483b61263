-- Let a participant pay, receive and give back, or not.
--   KEYS[1] accounts  hash, participant -> centavos free; ":off" is there while it is suspended
--   ARGV[1] ispb
--   ARGV[2] active    0 suspends, 1 lets it go on
--   returns the first that applies:
--     "unknown"  there is no such participant
--     "done"     it is so, now or before
--   flags  allow-oom
if redis.call("HEXISTS", KEYS[1], ARGV[1]) == 0 then
  return "unknown"
elseif ARGV[2] == "1" then
  redis.call("HDEL", KEYS[1], ARGV[1] .. ":off")
else
  redis.call("HSET", KEYS[1], ARGV[1] .. ":off", "1")
end
return "done"
