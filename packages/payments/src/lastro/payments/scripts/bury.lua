-- @include "parts/record.lua"
-- @include "parts/final.lua"
-- Set a payment aside that a processor refuses for what it is; an operator may replay it.
--   KEYS[1] known      hash id -> record
--   KEYS[2] in_flight  set of the ids of this owner
--   KEYS[3] final      stream; one entry more, state dead
--   KEYS[4] dead       sorted set of ids by when
--   ARGV[1] correlation_id
--   ARGV[2] owner
--   ARGV[3] processor
--   ARGV[4] requested_at_ms
--   ARGV[5] reason
--   ARGV[6] final_max  entries that the stream keeps
--   flags  allow-oom
--   returns the first that applies:
--     "not_ours"  it is not in flight here, or was claimed otherwise since: nothing changed
--     "ok"        dead, with its reason
local known, in_flight, final, dead, id, owner = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2]
local reason, final_max = ARGV[5], ARGV[6]
local state, amount, processor, at, attempts, reference, note = record_of(known, id)
if state ~= "in_flight" or record_holder(note) ~= owner or processor ~= ARGV[3] or at ~= ARGV[4] then
  return "not_ours"
end
redis.call("HSET", known, id, record_text("dead", amount, processor, at, attempts, reference, reason))
redis.call("SREM", in_flight, id)
redis.call("ZADD", dead, record_now(), id)
final_add(final, final_max, { id, "dead", processor, amount, "0", at, reference, reason })
return "ok"
