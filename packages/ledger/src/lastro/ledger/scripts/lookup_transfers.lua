--!df flags=allow-undeclared-keys
-- Look transfers up by their ids, in the order asked; unknown ones are left out.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] ids  16 bytes each, or a JSON array; at most 8,189
--   returns records of 128 bytes, or a JSON array
-- @include "parts/keyspace.lua"
-- @include "parts/lookup.lua"
return lookup("transfer", false, transfer_record)
