-- Shorten final records that are safe in the archive: what remembers a payment stays, its story goes.
--   KEYS[1] records       hash, id -> record
--   KEYS[2] archived      hash, sums of what was shortened or forgotten: count, cents, "<participant>:in", ":out"; and how
--                         many were shortened
--   ARGV[1..] items       two each: id, its record as it was archived
--   returns how many were shortened now
--   flags  allow-oom
-- @include "parts/batch.lua"
-- @include "parts/record.lua"
local sums = {}
local shortened = 0
for at = 1, #ARGV, 2 do
  local id, record = ARGV[at], ARGV[at + 1]
  if call("HGET", KEYS[1], id) == record then
    local state, cents, payer, payee = split(record)
    call("HSET", KEYS[1], id, state:lower() .. " " .. cents .. " " .. payee)
    shortened = shortened + 1
    if state == "S" then
      add(sums, payer .. ":out", cents)
      add(sums, payee .. ":in", cents)
    end
    if state == "C" or state == "S" and id:sub(1, 1) ~= "D" then
      add(sums, "count", 1)
      add(sums, "cents", cents)
    end
  end
end
add(sums, "shortened", shortened)
post(KEYS[2], sums)
return shortened
