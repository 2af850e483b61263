-- Create an account, once.
--   KEYS[1] account   string, content; created here, permanent
--   ARGV[1] content   "ledger:code"
--   returns the first that applies:
--     "exists"   it exists with this content (a retry)
--     "differs"  it exists with another; nothing changed
--     "ok"       created
local account, content = KEYS[1], ARGV[1]
local stored = redis.call("GET", account)
if stored then
  return stored == content and "exists" or "differs"
end
redis.call("SET", account, content)
return "ok"
