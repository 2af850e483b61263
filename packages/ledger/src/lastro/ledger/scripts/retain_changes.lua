--!df flags=allow-undeclared-keys
-- Set how many entries of the change stream are kept from now on.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] keep  entries
--   returns how many entries were dropped now
--   flags  allow-oom
-- @include "parts/keyspace.lua"
local prefix, keep = PREFIX, tonumber(ARGV[1])
if redis.call("EXISTS", prefix .. "state") == 0 then
  return 0
end
redis.call("SETRANGE", prefix .. "state", 44, struct.pack("<I4", keep))
return redis.call("XTRIM", prefix .. "changes", "MAXLEN", "~", keep)
