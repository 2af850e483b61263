-- What the books say, all at one moment; a transaction would be refused while memory is full.
--   KEYS[1] accounts      hash, participant -> centavos
--   KEYS[2] counters      hash, outcome -> count
--   KEYS[3] archived      hash, sums of what was shortened or forgotten
--   KEYS[4] count         string, payments settled
--   KEYS[5] cents         string, centavos settled
--   KEYS[6] amount        string, the same as decimal text
--   returns the three hashes, fields and values in turn, and the three strings
--   flags  no-writes
local found = {}
for i = 1, 6 do
  found[i] = redis.call(i <= 3 and "HGETALL" or "GET", KEYS[i])
end
return found
