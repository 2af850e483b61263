-- Open an event, once.
--   KEYS[1] stock   string; created here
--   ARGV[1] total
--   returns the first that applies:
--     "exists"  it was opened before; its stock is as it is
--     "ok"      opened
local stock, total = KEYS[1], ARGV[1]
return redis.call("SET", stock, total, "NX") and "ok" or "exists"
