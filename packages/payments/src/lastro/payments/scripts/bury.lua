-- @include "parts/record.lua"
-- @include "parts/final.lua"
-- Set a payment aside that a processor refuses for what it is; an operator may revive it.
--   KEYS[1] known      hash id -> record
--   KEYS[2] in_flight  set of the ids of this owner
--   KEYS[3] final      stream; one entry more, state dead
--   KEYS[4] dead       sorted set of ids by when
--   ARGV[1] correlation_id
--   ARGV[2] owner
--   ARGV[3] reason
--   ARGV[4] final_max  entries that the stream keeps
--   flags  allow-oom
--   returns the first that applies:
--     "not_ours"  it is not in flight here: nothing changed
--     "ok"        dead, with its reason
local known, in_flight, final, id, owner, reason = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3]
local dead, final_max = KEYS[4], ARGV[4]
local state, amount, processor, at, attempts, reference, note = record_of(known, id)
if state ~= "in_flight" or record_holder(note) ~= owner then
  return "not_ours"
end
redis.call("HSET", known, id, record_text("dead", amount, processor, at, attempts, reference, reason))
redis.call("SREM", in_flight, id)
redis.call("ZADD", dead, record_now(), id)
final_add(final, final_max, { id, "dead", processor, amount, "0", at, reference, reason })
return "ok"
