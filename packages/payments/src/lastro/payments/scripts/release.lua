-- @include "parts/record.lua"
-- Give a payment back to the queue: the processor is known not to have taken it.
--   KEYS[1] known      hash id -> record
--   KEYS[2] in_flight  set of the ids of this owner
--   KEYS[3] queue      list of ids; it becomes the next to be claimed
--   ARGV[1] correlation_id
--   ARGV[2] owner
--   ARGV[3] processor
--   ARGV[4] requested_at_ms
--   flags  allow-oom
--   returns the first that applies:
--     "not_ours"  it is not in flight here, or was claimed otherwise since: nothing changed
--     "ok"        queued again, for any processor; it waits for as long as it did before
local known, in_flight, queue = KEYS[1], KEYS[2], KEYS[3]
local id, owner = ARGV[1], ARGV[2]
local state, amount, processor, at, attempts, reference, note = record_of(known, id)
local holder, since = record_holder(note or "")
if state ~= "in_flight" or holder ~= owner or processor ~= ARGV[3] or at ~= ARGV[4] then
  return "not_ours"
end
redis.call("HSET", known, id, record_text("queued", amount, "", since or at, attempts, reference, ""))
redis.call("SREM", in_flight, id)
redis.call("RPUSH", queue, id)
return "ok"
