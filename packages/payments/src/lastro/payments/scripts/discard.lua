-- @include "parts/record.lua"
-- Let go of a dead payment, by hand: it is listed no more, and its id stays known, so that a repeat is never charged.
--   KEYS[1] known  hash id -> record
--   KEYS[2] dead   sorted set of ids by when
--   ARGV[1] correlation_id
--   flags  allow-oom
--   returns the state it was in: only "dead" was changed; "" when the id is unknown
local known, id = KEYS[1], ARGV[1]
local state, amount, processor, at, attempts, reference, reason = record_of(known, id)
if state == "dead" then
  redis.call("HSET", known, id, record_text("discarded", amount, processor, at, attempts, reference, reason))
  redis.call("ZREM", KEYS[2], id)
end
return state or ""
