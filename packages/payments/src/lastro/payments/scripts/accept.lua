-- @include "money.lua"
-- Accept a payment, once.
--   KEYS[1] payment   string, cents; created here, lives ARGV[3]
--   KEYS[2] queue     list of ids, newest at the head
--   ARGV[1] correlation_id
--   ARGV[2] amount_cents
--   ARGV[3] remember_seconds
--   returns the first that applies:
--     "again"    it was accepted with this amount (a retry)
--     "differs"  it was accepted with another; nothing changed
--     "ok"       accepted and queued
local payment, queue = KEYS[1], KEYS[2]
local correlation_id, amount_cents, remember_seconds = ARGV[1], cents(ARGV[2]), ARGV[3]
local stored = redis.call("GET", payment)
if stored then
  return stored == amount_cents and "again" or "differs"
end
redis.call("SET", payment, amount_cents, "EX", remember_seconds)
redis.call("LPUSH", queue, correlation_id)
return "ok"
