-- Renew the lease of entries in hand; one that another consumer took over meanwhile is left to it.
--   KEYS[1] stream      stream
--   ARGV[1] group
--   ARGV[2] consumer
--   ARGV[3..] ids       at most 500
--   returns the ids that are no longer this consumer's
--   flags   allow-oom
-- @include "held.lua"
local stream, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local lost, mine = {}, {}
for at = 3, #ARGV do
  local into = held(stream, group, ARGV[at]) == consumer and mine or lost
  into[#into + 1] = ARGV[at]
end
if #mine > 0 then
  mine[#mine + 1] = "JUSTID"
  redis.call("XCLAIM", stream, group, consumer, 0, unpack(mine))
end
return lost
