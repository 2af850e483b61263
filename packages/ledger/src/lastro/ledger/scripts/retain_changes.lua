--!df flags=allow-undeclared-keys
-- Trim the change stream to what is kept and what a group still needs, and bound what creations leave of it.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] keep        entries that stay, whoever has read them
--   ARGV[2] keep_max    entries that creations leave from now on, whoever has not: they look at no group
--   ARGV[3] trim_max    entries dropped at most
--   returns how many entries were dropped now
--   flags  allow-oom
-- @include "parts/keyspace.lua"
-- @include "order.lua"
local prefix, keep, keep_max, trim_max = PREFIX, tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local stream = prefix .. "changes"
if redis.call("EXISTS", prefix .. "state", stream) < 2 then
  return 0
end
redis.call("SETRANGE", prefix .. "state", 44, struct.pack("<I4", keep_max))
local excess = math.min(redis.call("XLEN", stream) - keep, trim_max)
if excess <= 0 then
  return 0
end
local needed = "18446744073709551615-0" -- the lowest of each group's oldest pending and last read
for _, told in ipairs(redis.call("XINFO", "GROUPS", stream)) do
  local about = {}
  for at = 1, #told, 2 do
    about[told[at]] = told[at + 1]
  end
  local from = redis.call("XPENDING", stream, about.name)[2] or about["last-delivered-id"]
  if entry_earlier(from, needed) then
    needed = from
  end
end
return redis.call("XTRIM", stream, "MINID", "~", needed, "LIMIT", excess)
