--!df flags=allow-undeclared-keys
-- The accounts that a filter picks, by timestamp.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] wanted  a record of 64 bytes, or a JSON object
--   returns records and, if 10,000 were looked at before the limit was full, the timestamp to go on from; or a JSON array
--     or error BADINPUT names the field that makes no sense, SCANMAX (JSON only) how far was looked
-- @include "parts/keyspace.lua"
-- @include "parts/filter.lua"
-- @include "parts/query.lua"
local filter, json, fault = read_filter("query_filter", 64)
if fault then
  return redis.error_reply("BADINPUT " .. fault)
end
local first, last, reversed, limit, matches = read_query(filter, "accounts", 58, 16, 9)
if not first then
  return answer_page({}, json, "account")
end
local function load(page)
  local keys, list = {}, {}
  for at = 1, #page, 58 do
    keys[#keys + 1] = key("account", sub(page, at, at + 15))
  end
  local found = fetch(keys)
  for i = 1, #keys do
    list[i] = account_record(found[i])
  end
  return list
end
local records, resume_low, resume_high = scan("accounts", 58, first, last, reversed, limit, matches, load)
return answer_page(records, json, "account", resume_low, resume_high)
