-- Throw dead letters away.
--   KEYS[1] dead        stream of dead letters
--   ARGV[1..] ids       of dead letters, at most 500
--   returns how many were there
--   flags   allow-oom
return redis.call("XDEL", KEYS[1], unpack(ARGV))
