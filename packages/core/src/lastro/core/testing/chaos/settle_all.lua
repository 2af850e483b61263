-- The effects of a batch of messages, each once, and their acknowledgement: one atomic step.
--   KEYS[1] stream      stream of messages
--   KEYS[2] done        set, operations that had their effect
--   KEYS[3] total       string, effects so far
--   ARGV[1] group
--   ARGV[2..] messages  id and operation of each
--   returns how many had their effect now
--   flags   allow-oom
-- @include "ack.lua"
local stream, done, total, group, effects = KEYS[1], KEYS[2], KEYS[3], ARGV[1], 0
for at = 2, #ARGV, 2 do
  effects = effects + redis.call("SADD", done, ARGV[at + 1])
  ack(stream, group, ARGV[at])
end
redis.call("INCRBY", total, effects)
return effects
