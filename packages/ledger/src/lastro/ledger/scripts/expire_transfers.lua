--!df flags=allow-undeclared-keys
-- Release pending transfers whose time is over, oldest first, at most 1,000.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   returns how many were released
--   flags  allow-oom
-- @include "parts/keyspace.lua"
-- @include "parts/transfers.lua"
local _, released = create_transfers("", false, 0)
return released
