-- Give the keys of a settled event an end.
--   KEYS[1] meta      hash
--   KEYS[2..] others  its other keys
--   ARGV[1] life_ms
--   returns the first that applies:
--     "open"  it is not closed; nothing changed
--     "ok"    settled
--   flags   allow-oom
local meta, life_ms = KEYS[1], ARGV[1]
local state = redis.call("HGET", meta, "state")
if state ~= "closed" and state ~= "settled" then
  return "open"
end
redis.call("HSET", meta, "state", "settled")
for at = 1, #KEYS do -- KEYS[2..] others
  redis.call("PEXPIRE", KEYS[at], life_ms)
end
return "ok"
