-- @include "parts/record.lua"
-- @include "parts/final.lua"
-- Append payments that are in the books to the stream of final payments anew.
--   KEYS[1] known      hash id -> record
--   KEYS[2] final      stream
--   ARGV[1] final_max  entries that the stream keeps
--   ARGV[2..] items    correlation_id, fee_cents of each; at most 500
--   returns how many
for at = 2, #ARGV, 2 do
  local id, fee = ARGV[at], ARGV[at + 1]
  local state, amount, processor, requested_at, _, reference = record_of(KEYS[1], id)
  final_add(KEYS[2], ARGV[1], { id, state, processor, amount, fee, requested_at, reference, "" })
end
return (#ARGV - 1) / 2
