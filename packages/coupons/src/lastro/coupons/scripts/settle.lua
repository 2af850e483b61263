-- Give the keys of a settled event an end.
--   KEYS[1] meta      hash
--   KEYS[2..] others  its other keys
--   ARGV[1] version   of the event when nothing of it was on its way into the database
--   ARGV[2] life_ms
--   returns the first that applies:
--     "changed"  it is not closed, or was changed since; nothing changed
--     "ok"       settled
--   flags   allow-oom
local meta, version, life_ms = KEYS[1], ARGV[1], ARGV[2]
local m = redis.call("HMGET", meta, "state", "version")
if m[1] ~= "closed" and m[1] ~= "settled" or m[2] ~= version then
  return "changed"
end
redis.call("HSET", meta, "state", "settled")
for at = 1, #KEYS do -- KEYS[2..] others
  redis.call("PEXPIRE", KEYS[at], life_ms)
end
return "ok"
