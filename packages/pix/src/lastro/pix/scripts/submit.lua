-- @include "money.lua"
-- Take a payment in, once.
--   KEYS[1] payment   string, cents; created here, lives ARGV[3]
--   KEYS[2] stream    stream; one entry per new payment
--   ARGV[1] end_to_end_id
--   ARGV[2] amount_cents
--   ARGV[3] remember_seconds
--   returns the first that applies:
--     "again"    it was taken with this amount (a retry)
--     "differs"  it was taken with another; nothing changed
--     "ok"       taken: entry {end_to_end_id, amount_cents}
local payment, stream = KEYS[1], KEYS[2]
local end_to_end_id, amount_cents, remember_seconds = ARGV[1], cents(ARGV[2]), ARGV[3]
local stored = redis.call("GET", payment)
if stored then
  return stored == amount_cents and "again" or "differs"
end
redis.call("SET", payment, amount_cents, "EX", remember_seconds)
redis.call("XADD", stream, "*", "end_to_end_id", end_to_end_id, "amount_cents", amount_cents)
return "ok"
