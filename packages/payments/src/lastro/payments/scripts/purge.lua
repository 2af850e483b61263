-- Forget every payment, known ids included; what was charged stays counted, since others' books go on having it.
--   KEYS[1] purged           hash per processor: cents of all payments that were forgotten
--   KEYS[2] totals_default   hash: counts and cents
--   KEYS[3] totals_fallback  likewise
--   KEYS[4..] forgotten      what else goes
--   flags  allow-oom
--   returns nothing
for i, processor in ipairs({ "default", "fallback" }) do
  redis.call("HINCRBY", KEYS[1], processor, redis.call("HGET", KEYS[i + 1], "all:c") or 0)
end
for i = 2, #KEYS do
  redis.call("UNLINK", KEYS[i])
end
