-- Acknowledge messages whose effect is done.
--   KEYS[1] taken       list, what this consumer has in hand
--   ARGV[1..] members   at most 500
--   returns how many were still in hand
--   flags   allow-oom
local finished = 0
for _, member in ipairs(ARGV) do
  finished = finished + redis.call("LREM", KEYS[1], -1, member) -- from the oldest end
end
return finished
