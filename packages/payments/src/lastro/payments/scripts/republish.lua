-- @include "parts/final.lua"
-- Append payments that are in the books to the stream of final payments anew.
--   KEYS[1] final      stream
--   ARGV[1] final_max  entries that the stream keeps
--   ARGV[2..] items    correlation_id, processor, amount_cents, fee_cents, requested_at_ms of each; at most 500
--   returns how many
for at = 2, #ARGV, 5 do
  local id, processor, amount, fee, requested_at = unpack(ARGV, at, at + 4)
  final_add(KEYS[1], ARGV[1], { id, "done", processor, amount, fee, requested_at, "" })
end
return (#ARGV - 1) / 5
