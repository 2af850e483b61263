--!df flags=allow-undeclared-keys
-- The transfers of an account that a filter picks, by timestamp.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] wanted  a record of 128 bytes, or a JSON object
--   returns records and, if 10,000 were looked at before the limit was full, the timestamp to go on from; or a JSON array
--     or error BADINPUT names the field that makes no sense, SCANMAX (JSON only) how far was looked
-- @include "parts/keyspace.lua"
-- @include "parts/filter.lua"
-- @include "parts/account_index.lua"
local filter, json, fault = read_filter("account_filter", 128)
if fault then
  return redis.error_reply("BADINPUT " .. fault)
end
local records, _, resume_low, resume_high = account_transfers(filter, false)
return answer_page(records, json, "transfer", resume_low, resume_high)
