-- Refuse payments that come when their minute is forgotten: the payer is told, each once, and nothing is recorded.
--   KEYS[1] payments      stream they are pending in
--   KEYS[2] accounts      hash, participant -> centavos free
--   KEYS[3] counters      hash, outcome -> count
--   KEYS[4] backends      set, the outboxes there are
--   KEYS[5..] ks          outboxes (streams), movements (stream, nothing moves); an item names the first by position
--   ARGV[1] group
--   ARGV[2..] items       six each: entry_id, id, payer, cents, code, outbox of the payer
--   returns how many were refused now; those another worker handled meanwhile are left alone
--   writes {message, id, status, reason, amount_cents, body} to outboxes; to nobody when there is no such payer (RC09)
--   flags  allow-oom
-- @include "parts/batch.lua"
-- @include "parts/notice.lua"
ready(5, 0)
local done, counts = {}, {}
for at = 2, #ARGV, 6 do
  local id, payer, code = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4]
  if call("XACK", KEYS[1], ARGV[1], ARGV[at]) == 1 then
    if call("HEXISTS", KEYS[2], payer) == 0 then
      code = "RC09"
    else
      tell(KEYS[4 + ARGV[at + 5]], "pacs.002", id, "RJCT", code, ARGV[at + 3], "")
    end
    add(counts, "rejected:" .. code, 1)
    done[#done + 1] = ARGV[at]
  end
end
add(counts, "rejected", #done)
post(KEYS[3], counts)
remember_told(KEYS[4])
acknowledge(KEYS[1], ARGV[1], done)
return #done
