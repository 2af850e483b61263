-- Settle a batch of the original messages: once each, counted to the centavo, confirmed, acknowledged.
--   KEYS[1] payments      stream
--   KEYS[2] count         string, payments settled
--   KEYS[3] cents         string, centavos settled
--   KEYS[4] amount        string, the same as decimal text
--   KEYS[5] counters      hash, outcome -> count
--   KEYS[6] latency       hash, milliseconds -> count
--   KEYS[7] backends      set, the outboxes there are
--   KEYS[8..] ks          records (hashes), outboxes (streams), movements (stream); an item names the first two by position
--   ARGV[1] group
--   ARGV[2] minutes       how many of ks are records
--   ARGV[3] timestamp     what the confirmations say
--   ARGV[4..] items       eight each: entry_id, identity, transaction_id, cents, amount, backend_id, records, outbox
--                         (0: nobody is told)
--   returns nothing when a minute is not open (nothing changed), else one word an item, the first that applies:
--     "repeat"    settled before, with this amount; acknowledged
--     "conflict"  settled before, with another amount; nothing changed, not acknowledged
--     "settled"   now
--   writes {transaction_id, status, processed_amount, backend_id, timestamp} to outboxes, {confirmed} to movements
--   flags  allow-oom
-- @include "parts/batch.lua"
-- @include "parts/totals.lua"
-- @include "parts/notice.lua"
-- @include "parts/moves.lua"
if not ready(8, ARGV[2] + 0) then
  return {}
end
local now = now_ms()
local outcomes, done, counts, times = {}, {}, {}, {}
local settled, settled_cents = 0, 0
for at = 4, #ARGV, 8 do
  local entry, identity, cents, backend = ARGV[at], ARGV[at + 1], ARGV[at + 3], ARGV[at + 5]
  local records = KEYS[7 + ARGV[at + 6]]
  local received = entry:match("^%d+")
  local age = math.max(0, now - received)
  local record = "C " .. cents .. " - " .. backend .. " " .. received .. " 0 0 " .. whole(age) .. " - -"
  local outcome = "settled"
  if call("HSETNX", records, identity, record) == 1 then
    settled, settled_cents = settled + 1, settled_cents + cents
    mark(times, age)
    move("confirmed", cents, "-", backend, identity)
    if ARGV[at + 7] ~= "0" then
      local outbox = KEYS[7 + ARGV[at + 7]]
      told[outbox] = true
      call("XADD", outbox, "*", "transaction_id", ARGV[at + 2], "status", "confirmed",
        "processed_amount", ARGV[at + 4], "backend_id", backend, "timestamp", ARGV[3])
    end
  else
    local before = call("HGET", records, identity):match("^%a (%d+)")
    outcome = before == cents and "repeat" or "conflict"
  end
  outcomes[#outcomes + 1] = outcome
  add(counts, outcome, 1)
  if outcome ~= "conflict" then
    done[#done + 1] = entry
  end
end
count_settled(KEYS[2], KEYS[3], KEYS[4], settled, settled_cents)
post(KEYS[5], counts)
post(KEYS[6], times)
remember_told(KEYS[7])
publish_moves(KEYS[#KEYS])
acknowledge(KEYS[1], ARGV[1], done)
return outcomes
