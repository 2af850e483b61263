-- Take a batch of receivers' answers: post or release the held funds, tell both sides, count, acknowledge.
--   KEYS[1] answers       stream
--   KEYS[2] accounts      hash, participant -> centavos free; "<participant>:held", ":in", ":out" beside
--   KEYS[3] count         string, payments settled
--   KEYS[4] cents         string, centavos settled
--   KEYS[5] amount        string, the same as decimal text
--   KEYS[6] counters      hash, outcome -> count
--   KEYS[7] latency       hash, milliseconds from received to final -> count
--   KEYS[8] answering     hash, milliseconds from asked to answered -> count
--   KEYS[9] backends      set, the outboxes there are
--   KEYS[10..] ks          records (hashes), outboxes (streams), movements (stream); an item names the first two by position
--   ARGV[1] group
--   ARGV[2] minutes       how many of ks are records
--   ARGV[3..] items       eight each: entry_id, id, payer (as the id says), payee (who answers), code ("" accepts),
--                         records, outbox of the payer, outbox of the payee
--   returns one word an item, the first that applies:
--     "unknown"    no such payment, or not this participant's to answer; not acknowledged
--     "elsewhere"  the payer is not the one the id says; nothing changed, not acknowledged
--     "late"       it is final already; nothing changed
--     "expired"    the answer came after the deadline: AB03, funds back
--     "rejected"   by the receiver's bank, with code; funds back
--     "settled"    the funds are the receiver's
--   writes {message, id, status, reason, amount_cents, body} to outboxes, {settled, released} to movements
--   flags  allow-oom
-- @include "parts/batch.lua"
-- @include "parts/totals.lua"
-- @include "parts/notice.lua"
-- @include "parts/record.lua"
-- @include "parts/finish.lua"
-- @include "parts/moves.lua"
ready(10, ARGV[2] + 0)
local now = now_ms()
local outcomes, done, counts, moved, times, answers = {}, {}, {}, {}, {}, {}
local settled, settled_cents = 0, 0
for at = 3, #ARGV, 8 do
  local entry, id, code = ARGV[at], ARGV[at + 1], ARGV[at + 4]
  local records = KEYS[9 + ARGV[at + 5]]
  local record = call("HGET", records, id)
  local state, cents, payer, payee, received, accepted, due = split(record or "")
  local outcome = code == "" and "settled" or "rejected"
  if not state or state:upper() == "C" or payee ~= ARGV[at + 3] then
    outcome = "unknown"
  elseif state ~= "A" then
    outcome = "late"
  elseif payer ~= ARGV[at + 2] then
    outcome = "elsewhere"
  else
    local payer_status, payee_status, by = "RJCT", "RJCT", payee
    add(moved, payer .. ":held", -cents)
    mark(answers, math.max(0, now - received - accepted))
    if now - received > due + 0 then
      outcome, code, by = "expired", "AB03", "spi"
    end
    if outcome == "settled" then
      payer_status, payee_status, code, by = "ACSC", "ACCC", "-", "-"
      settled, settled_cents = settled + 1, settled_cents + cents
      add(moved, payer .. ":out", cents)
      add(moved, payee, cents)
      add(moved, payee .. ":in", cents)
    else
      add(moved, payer, cents)
      add(counts, "rejected:" .. code, 1)
    end
    local final = outcome == "settled" and "S" or outcome == "expired" and "X" or "R"
    mark(times, close(records, id, record, final, now, code, by))
    local reason = code == "-" and "" or code
    move(outcome == "settled" and "settled" or "released", cents, payer, payee, id)
    tell(KEYS[9 + ARGV[at + 6]], "pacs.002", id, payer_status, reason, cents, "")
    tell(KEYS[9 + ARGV[at + 7]], "pacs.002", id, payee_status, reason, cents, "")
  end
  outcomes[#outcomes + 1] = outcome
  add(counts, outcome, 1)
  if outcome ~= "unknown" and outcome ~= "elsewhere" then
    done[#done + 1] = entry
  end
end
post(KEYS[2], moved)
count_settled(KEYS[3], KEYS[4], KEYS[5], settled, settled_cents)
post(KEYS[6], counts)
post(KEYS[7], times)
post(KEYS[8], answers)
remember_told(KEYS[9])
publish_moves(KEYS[#KEYS])
acknowledge(KEYS[1], ARGV[1], done)
return outcomes
