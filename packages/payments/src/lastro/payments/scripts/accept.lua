-- @include "money.lua"
-- @include "parts/record.lua"
-- Accept a payment, once; when none waits before it and its way is clear, claim it in the same step.
--   KEYS[1] known      hash id -> record; the record is created here
--   KEYS[2] queue      list of ids; the new one at the head
--   KEYS[3] in_flight  set of the ids of this owner
--   KEYS[4] owners     hash owner -> until when (ms)
--   ARGV[1] correlation_id
--   ARGV[2] amount_cents
--   ARGV[3] reference  somebody's own word for it; may be empty
--   ARGV[4] owner
--   ARGV[5] processor  where this owner would send it now; empty when it is better to wait
--   returns the first that applies:
--     "again"  the id is known, whatever its amount: nothing changed
--     <ms>     in flight at that processor, with this requestedAt; this owner sends it
--     "queued" recorded and queued
local known, queue, in_flight, owners = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, amount, reference, owner, processor = ARGV[1], cents(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
if processor ~= "" and redis.call("LLEN", queue) == 0 then
  local now = record_now()
  if tonumber(redis.call("HGET", owners, owner) or 0) >= tonumber(now) then
    local record = record_text("in_flight", amount, processor, now, "1", reference, owner)
    if redis.call("HSETNX", known, id, record) == 0 then
      return "again"
    end
    redis.call("SADD", in_flight, id)
    return now
  end
end
if redis.call("HSETNX", known, id, record_text("queued", amount, "", record_now(), "0", reference, "")) == 0 then
  return "again"
end
redis.call("LPUSH", queue, id)
return "queued"
