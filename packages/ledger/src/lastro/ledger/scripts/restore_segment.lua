--!df flags=allow-undeclared-keys
-- Put a segment of the log of transfers back for good. Before that a mark was set: see drop_segment.lua.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] segment  its number
--   ARGV[2] records  what the archive has of it
--   returns the first that applies:
--     "other"  it is here for good, and is not what the archive has; nothing changed
--     "ok"     it is here for good
-- @include "parts/keyspace.lua"
local at = PREFIX .. "log:transfers:" .. ARGV[1]
if redis.call("PTTL", at) == -1 and redis.call("GET", at) ~= ARGV[2] then
  return "other"
end
redis.call("SET", at, ARGV[2])
return "ok"
