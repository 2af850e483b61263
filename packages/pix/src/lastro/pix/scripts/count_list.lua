-- Count messages of a list, each once; what cannot be counted becomes a dead letter.
--   KEYS[1] count         string, payments settled
--   KEYS[2] cents         string, centavos settled
--   KEYS[3] amount        string, the same as decimal text
--   KEYS[4] counters      hash, outcome -> count
--   KEYS[5] dead          stream
--   KEYS[6..] ks          records (hashes), movements (stream); an item names the records by position
--   ARGV[1] minutes       how many of ks are records: all but the last
--   ARGV[2] dead_max      the oldest dead letters beyond this go
--   ARGV[3] source        name of the list, for dead letters
--   ARGV[4..] items       six each: identity, cents, records (0: dead), then for its dead letter code, reason, fields (JSON)
--   returns how many were counted now; -1 when a minute is not open: nothing changed
--   writes {source, entry_id, code, reason, deliveries, fields} to dead, {confirmed} to movements
--   flags  allow-oom
-- @include "parts/batch.lua"
-- @include "parts/totals.lua"
-- @include "parts/moves.lua"
if not ready(6, ARGV[1] + 0) then
  return -1
end
local now = whole(now_ms())
local counts = {}
local settled, settled_cents = 0, 0
for at = 4, #ARGV, 6 do
  local identity, cents = ARGV[at], ARGV[at + 1]
  local outcome = "settled"
  if ARGV[at + 2] == "0" then
    outcome = "dead"
  elseif call("HSETNX", KEYS[5 + ARGV[at + 2]], identity, "C " .. cents .. " - - " .. now .. " 0 0 0 - -") == 1 then
    settled, settled_cents = settled + 1, settled_cents + cents
    move("confirmed", cents, "-", "-", identity)
  elseif call("HGET", KEYS[5 + ARGV[at + 2]], identity):match("^%a (%d+)") == cents then
    outcome = "repeat"
  else
    outcome = "dead"
  end
  if outcome == "dead" then
    call("XADD", KEYS[5], "MAXLEN", "~", ARGV[2], "*", "source", ARGV[3], "entry_id", now, "code", ARGV[at + 3],
      "reason", ARGV[at + 4], "deliveries", 1, "fields", ARGV[at + 5])
  end
  add(counts, outcome, 1)
end
count_settled(KEYS[1], KEYS[2], KEYS[3], settled, settled_cents)
post(KEYS[4], counts)
publish_moves(KEYS[#KEYS])
return settled
