--!df flags=allow-undeclared-keys
-- Look one transfer up by its id.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] ids  16 bytes, bare digits, or JSON: an id or an object with one
--   returns its record of 128 bytes or JSON; nothing ("" or {}) if there is none
-- @include "parts/keyspace.lua"
-- @include "parts/lookup.lua"
return lookup("transfer", true, transfer_record)
