-- @include "parts/record.lua"
-- Set a payment aside that a processor refuses for what it is; an operator may revive it.
--   KEYS[1] known      hash id -> record
--   KEYS[2] in_flight  set of the ids of this owner
--   ARGV[1] correlation_id
--   ARGV[2] owner
--   ARGV[3] reason
--   flags  allow-oom
--   returns the first that applies:
--     "not_ours"  it is not in flight here: nothing changed
--     "ok"        dead, with its reason
local known, in_flight, id, owner, reason = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local state, amount, processor, at, attempts, holder = record_of(known, id)
if state ~= "in_flight" or holder ~= owner then
  return "not_ours"
end
record_set(known, id, "dead", amount, processor, at, attempts, reason)
redis.call("SREM", in_flight, id)
return "ok"
