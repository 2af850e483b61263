-- Cut an outbox to its time, but for much longer not an entry that a group has not read and acknowledged.
--   KEYS[1] outbox        stream
--   KEYS[2] backends      set, the outboxes there are; one that is empty and unread leaves it
--   ARGV[1] keep_ms       how long an entry stays
--   ARGV[2] unread_ms     how long one that a group has not acknowledged
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
local now = now_ms()
local first = whole(math.max(0, now - ARGV[1])) .. "-0"
local unread = whole(math.max(0, now - ARGV[2])) .. "-0"
local groups = call("XINFO", "GROUPS", KEYS[1])
for _, group in ipairs(groups) do
  local facts = {}
  for i = 1, #group, 2 do
    facts[group[i]] = group[i + 1]
  end
  local oldest = call("XPENDING", KEYS[1], facts.name)[2] or facts["last-delivered-id"]
  oldest = before(oldest, unread) and unread or oldest
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
