--!df flags=allow-undeclared-keys
-- Drop a full segment of the log of transfers, if it is what the archive has.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] segment   its number
--   ARGV[2] sha1      of the archive's records of it, in hexadecimal
--   ARGV[3] restored  the mark of who brought segments back, from before it was written to the archive, or found there
--   returns the first that applies:
--     "gone"      it is not here, or only for a while
--     "restored"  segments are brought back since: the archive may lose it again; nothing changed
--     "other"     it is not what the archive has; nothing changed
--     "ok"        dropped
--   flags  allow-oom
-- @include "parts/keyspace.lua"
local at = PREFIX .. "log:transfers:" .. ARGV[1]
if redis.call("PTTL", at) ~= -1 then
  return "gone"
elseif (redis.call("GET", PREFIX .. "restored") or "") ~= ARGV[3] then
  return "restored"
elseif redis.sha1hex(redis.call("GET", at)) ~= ARGV[2] then
  return "other"
end
redis.call("DEL", at)
return "ok"
