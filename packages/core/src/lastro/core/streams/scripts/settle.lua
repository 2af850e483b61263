-- Acknowledge entries whose effect is done, and free their memory. Whoever holds the lease now: the work is done.
--   KEYS[1] stream      stream
--   ARGV[1] group
--   ARGV[2] keep        "1" for a log: acknowledged entries stay until `trim`
--   ARGV[3..] ids       at most 500
--   returns how many were settled by this call; the others were before
--   flags   allow-oom
local stream, group, keep = KEYS[1], ARGV[1], ARGV[2] == "1"
local settled = redis.call("XACK", stream, group, unpack(ARGV, 3))
if not keep then
  redis.call("XDEL", stream, unpack(ARGV, 3))
end
return settled
