-- Reject payments whose receiver stayed silent: AB03 to both sides, the funds back with the payer.
--   KEYS[1] deadlines     zset, ids of one batch -> ms at which they expire
--   KEYS[2] accounts      hash, participant -> centavos free; "<participant>:held" beside
--   KEYS[3] counters      hash, outcome -> count
--   KEYS[4] latency       hash, milliseconds from received to final -> count
--   KEYS[5] backends      set, the outboxes there are
--   KEYS[6..] ks          records (hashes), outboxes (streams), movements (stream); an item names the first two by position
--   ARGV[1] due           the member of deadlines that is swept; removed
--   ARGV[2] minutes       how many of ks are records
--   ARGV[3..] items       six each: id, payer, payee, records, outbox of the payer, outbox of the payee
--   returns how many were expired now; 0 when another worker swept them, -1 when it is not time yet
--   writes {message, id, status, reason, amount_cents, body} to outboxes, {released} to movements
--   flags  allow-oom
-- @include "parts/batch.lua"
-- @include "parts/totals.lua"
-- @include "parts/notice.lua"
-- @include "parts/record.lua"
-- @include "parts/finish.lua"
-- @include "parts/moves.lua"
local now = now_ms()
local score = call("ZSCORE", KEYS[1], ARGV[1])
if not score then
  return 0
elseif score + 0 > now then
  return -1
end
ready(6, ARGV[2] + 0)
local counts, moved, times = {}, {}, {}
local expired = 0
for at = 3, #ARGV, 6 do
  local id, records = ARGV[at], KEYS[5 + ARGV[at + 3]]
  local record = call("HGET", records, id)
  local state, cents, payer, payee = split(record or "")
  if state == "A" and payer == ARGV[at + 1] and payee == ARGV[at + 2] then
    expired = expired + 1
    add(moved, payer .. ":held", -cents)
    add(moved, payer, cents)
    move("released", cents, payer, payee, id)
    mark(times, close(records, id, record, "X", now, "AB03", "spi"))
    tell(KEYS[5 + ARGV[at + 4]], "pacs.002", id, "RJCT", "AB03", cents, "")
    tell(KEYS[5 + ARGV[at + 5]], "pacs.002", id, "RJCT", "AB03", cents, "")
  end
end
if expired > 0 then
  add(counts, "expired", expired)
  add(counts, "rejected:AB03", expired)
  post(KEYS[2], moved)
  post(KEYS[3], counts)
  post(KEYS[4], times)
  remember_told(KEYS[5])
  publish_moves(KEYS[#KEYS])
end
call("ZREM", KEYS[1], ARGV[1])
return expired
