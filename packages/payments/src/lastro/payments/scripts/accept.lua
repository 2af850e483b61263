-- @include "money.lua"
-- Accept a payment, once: record and queue it in one step.
--   KEYS[1] known   hash id -> record; the record is created here
--   KEYS[2] queue   list of ids; the new one at the head
--   ARGV[1] correlation_id
--   ARGV[2] amount_cents
--   returns the first that applies:
--     "again"  the id is known, whatever its amount: nothing changed
--     "ok"     recorded and queued
local known, queue = KEYS[1], KEYS[2]
local correlation_id, amount_cents = ARGV[1], cents(ARGV[2])
if redis.call("HSETNX", known, correlation_id, "queued|" .. amount_cents .. "|||0|") == 0 then
  return "again"
end
redis.call("LPUSH", queue, correlation_id)
return "ok"
