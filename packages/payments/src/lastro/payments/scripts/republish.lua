-- @include "parts/record.lua"
-- @include "parts/final.lua"
-- Append payments that are in the books to the stream of final payments anew, as they were told then.
--   KEYS[1] known      hash id -> record
--   KEYS[2] final      stream
--   ARGV[1] final_max  entries that the stream keeps
--   ARGV[2..] ids      at most 500
--   returns how many: what was purged meanwhile is not told
local told = 0
for at = 2, #ARGV do
  local state, amount, processor, requested_at, _, reference, fee = record_of(KEYS[1], ARGV[at])
  if state == "done" then
    final_add(KEYS[2], ARGV[1], { ARGV[at], state, processor, amount, fee, requested_at, reference, "" })
    told = told + 1
  end
end
return told
