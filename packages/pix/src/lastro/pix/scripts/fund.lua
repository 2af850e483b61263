-- Move money between the central bank and a participant's Conta PI, once; a new participant begins here.
--   KEYS[1] accounts      hash, participant -> centavos free; ":funded" sums what came from outside,
--                         ":drawn" what went there
--   KEYS[2] funding       hash, act -> amount
--   KEYS[3] movements     stream
--   ARGV[1] ispb
--   ARGV[2] amount_cents  negative takes out
--   ARGV[3] cents_max     the most one account may hold
--   ARGV[4] act
--   returns the first that applies:
--     "conflict"  this act was here with another amount
--     "repeat"    this act was done before
--     "short"     less is free than should be taken out
--     "full"      the account would hold too much
--     "done"      now
--   writes {funded, drawn} to movements, with the microsecond as id
-- @include "parts/batch.lua"
-- @include "parts/moves.lua"
local before = call("HGET", KEYS[2], ARGV[4])
if before then
  return before == ARGV[2] and "repeat" or "conflict"
end
local free = tonumber(call("HGET", KEYS[1], ARGV[1]) or 0)
if free + ARGV[2] < 0 then
  return "short"
elseif free + ARGV[2] > ARGV[3] + 0 then
  return "full"
end
local kind = call("TYPE", KEYS[3]).ok
assert(kind == "none" or kind == "stream", KEYS[3] .. " is a " .. kind)
call("HSET", KEYS[2], ARGV[4], ARGV[2])
call("HINCRBY", KEYS[1], ARGV[1], ARGV[2])
local clock = call("TIME")
local id = clock[1] .. string.format("%06d", clock[2])
if ARGV[2] + 0 < 0 then
  call("HINCRBY", KEYS[1], ARGV[1] .. ":drawn", ARGV[2]:sub(2))
  move("drawn", ARGV[2]:sub(2), ARGV[1], "-", id)
else
  call("HINCRBY", KEYS[1], ARGV[1] .. ":funded", ARGV[2])
  move("funded", ARGV[2], "-", ARGV[1], id)
end
publish_moves(KEYS[3])
return "done"
