-- Cut an outbox to its time, but never an entry that a group has not read and acknowledged.
--   KEYS[1] outbox        stream
--   KEYS[2] backends      set, the outboxes there are; one that is empty and unread leaves it
--   ARGV[1] keep_ms       how long an entry stays
--   returns how many entries went
--   flags  allow-oom
-- @include "parts/batch.lua"
if call("EXISTS", KEYS[1]) == 0 then
  call("SREM", KEYS[2], KEYS[1])
  return 0
end
local function before(a, b)
  local a_ms, a_seq = a:match("^(%d+)-(%d+)$")
  local b_ms, b_seq = b:match("^(%d+)-(%d+)$")
  return a_ms + 0 < b_ms + 0 or (a_ms + 0 == b_ms + 0 and a_seq + 0 < b_seq + 0)
end
local first = whole(math.max(0, now_ms() - ARGV[1])) .. "-0"
local groups = call("XINFO", "GROUPS", KEYS[1])
for _, group in ipairs(groups) do
  local facts = {}
  for i = 1, #group, 2 do
    facts[group[i]] = group[i + 1]
  end
  local oldest = call("XPENDING", KEYS[1], facts.name)[2] or facts["last-delivered-id"]
  if before(oldest, first) then
    first = oldest
  end
end
local cut = call("XTRIM", KEYS[1], "MINID", first)
if #groups == 0 and call("XLEN", KEYS[1]) == 0 then
  call("DEL", KEYS[1])
  call("SREM", KEYS[2], KEYS[1])
end
return cut
