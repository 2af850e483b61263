-- Give a settled payment back, whole or in part, once per RtrId, never more than was paid.
--   KEYS[1] records       hash of the return's minute
--   KEYS[2] originals     hash of the original's minute
--   KEYS[3] returned      hash, what was given back of the original; lives ARGV[11]
--   KEYS[4] accounts      hash, participant -> centavos free; "<participant>:in", ":out", ":off" beside
--   KEYS[5] counters      hash, outcome -> count
--   KEYS[6] backends      set, the outboxes there are
--   KEYS[7] outbox_from   stream of the participant that gives back
--   KEYS[8] outbox_to     stream of the participant that is given back to
--   KEYS[9] movements     stream
--   ARGV[1] rtr_id
--   ARGV[2] original
--   ARGV[3] amount_cents
--   ARGV[4] reason
--   ARGV[5] giver         who asks: must be the original's receiver
--   ARGV[6] taker         the original's payer
--   ARGV[7] archived_cents  the original's amount as the archive knows it, or ""
--   ARGV[8] settled_ms      when the original was settled, as the archive or its record knows it
--   ARGV[9] age_ms_max      how long after that a return is taken
--   ARGV[10] body
--   ARGV[11] remember_seconds
--   returns the first that applies:
--     "repeat"    this return was done before
--     "conflict"  this RtrId was here with another amount or original
--     "unknown"   no such settled payment between these two
--     "off"       one of the two is not active
--     "late"      too long after the settlement
--     "above"     more than is left of the original
--     "short"     the giver's Conta PI does not cover it
--     "closed"    the return's minute is not open
--     "settled"   now
--   writes {message, id, status, reason, amount_cents, body} to both outboxes, {returned} to movements
-- @include "parts/batch.lua"
-- @include "parts/notice.lua"
-- @include "parts/record.lua"
-- @include "parts/moves.lua"
local id, original, cents = ARGV[1], ARGV[2], ARGV[3] + 0
local giver, taker = ARGV[5], ARGV[6]
local before = call("HGET", KEYS[1], id)
if before then
  local same = before:match("^%a (%d+)") == ARGV[3] and call("HEXISTS", KEYS[3], id) == 1
  return same and "repeat" or "conflict"
end
local paid = ARGV[7]
local record = call("HGET", KEYS[2], original)
if record then
  local state, amount, payer, payee = split(record)
  payer = payer == "" and original:sub(2, 9) or payer
  paid = state:upper() == "S" and payer == taker and payee == giver and amount or ""
end
local now = now_ms()
local back = tonumber(call("HGET", KEYS[3], "cents") or 0)
if paid == "" then
  return "unknown"
elseif call("HEXISTS", KEYS[4], giver .. ":off") + call("HEXISTS", KEYS[4], taker .. ":off") > 0 then
  return "off"
elseif now - ARGV[8] > ARGV[9] + 0 then
  return "late"
elseif back + cents > paid + 0 then
  return "above"
elseif tonumber(call("HGET", KEYS[4], giver) or 0) < cents then
  return "short"
elseif call("EXISTS", KEYS[1]) == 0 then
  return "closed"
end
for i = 7, 9 do
  local kind = call("TYPE", KEYS[i]).ok
  assert(kind == "none" or kind == "stream", KEYS[i] .. " is a " .. kind)
end
call("HSET", KEYS[1], id, table.concat({ "S", ARGV[3], giver, taker, whole(now), 0, 0, 0, ARGV[4], original }, " "))
call("HINCRBY", KEYS[3], "cents", ARGV[3])
call("HSET", KEYS[3], id, ARGV[3] .. " " .. ARGV[4] .. " " .. whole(now))
call("EXPIRE", KEYS[3], ARGV[11])
post(KEYS[4], { [giver] = -cents, [giver .. ":out"] = cents, [taker] = cents, [taker .. ":in"] = cents })
post(KEYS[5], { returned = 1, returned_cents = cents })
tell(KEYS[7], "pacs.002", id, "ACSC", ARGV[4], ARGV[3], "")
tell(KEYS[8], "pacs.004", id, "ACCC", ARGV[4], ARGV[3], ARGV[10])
remember_told(KEYS[6])
move("returned", ARGV[3], giver, taker, id)
publish_moves(KEYS[9])
return "settled"
