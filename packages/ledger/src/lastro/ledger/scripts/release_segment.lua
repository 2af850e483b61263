--!df flags=allow-undeclared-keys
-- Let go of a segment of the log of transfers that came back only to be read.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] segment  its number
--   returns the first that applies:
--     "stays"  it is here for good
--     "ok"     it is not here
--   flags  allow-oom
-- @include "parts/keyspace.lua"
local at = PREFIX .. "log:transfers:" .. ARGV[1]
if redis.call("PTTL", at) == -1 then
  return "stays"
end
redis.call("DEL", at)
return "ok"
