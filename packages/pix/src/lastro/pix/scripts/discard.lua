-- Throw a dead letter away.
--   KEYS[1] dead    stream
--   ARGV[1] letter  entry id in dead
--   returns "discarded", or "gone" when it is no longer there
--   flags  allow-oom
return redis.call("XDEL", KEYS[1], ARGV[1]) == 1 and "discarded" or "gone"
