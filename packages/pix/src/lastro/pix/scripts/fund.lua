-- Move money between the central bank and a participant's Conta PI, once; a new participant begins here.
--   KEYS[1] accounts      hash, participant -> centavos free; "<participant>:funded" sums what came from outside
--   KEYS[2] funding       string, this act's amount; remembered for ARGV[4]
--   ARGV[1] ispb
--   ARGV[2] amount_cents  negative takes out
--   ARGV[3] cents_max     the most one account may hold
--   ARGV[4] remember_seconds
--   returns the first that applies:
--     "conflict"  this act was here with another amount
--     "repeat"    this act was done before
--     "short"     less is free than should be taken out
--     "full"      the account would hold too much
--     "done"      now
local before = redis.call("GET", KEYS[2])
if before then
  return before == ARGV[2] and "repeat" or "conflict"
end
local free = tonumber(redis.call("HGET", KEYS[1], ARGV[1]) or 0)
if free + ARGV[2] < 0 then
  return "short"
elseif free + ARGV[2] > ARGV[3] + 0 then
  return "full"
end
redis.call("SET", KEYS[2], ARGV[2], "EX", ARGV[4])
redis.call("HINCRBY", KEYS[1], ARGV[1], ARGV[2])
redis.call("HINCRBY", KEYS[1], ARGV[1] .. ":funded", ARGV[2])
return "done"
