-- @include "parts/record.lua"
-- Take the oldest payments for one processor, and record what will be sent before it is sent.
--   KEYS[1] queue      list of ids
--   KEYS[2] known      hash id -> record
--   KEYS[3] in_flight  set of the ids of this owner
--   KEYS[4] owners     hash owner -> until when (ms)
--   ARGV[1] owner
--   ARGV[2] processor
--   ARGV[3] count      at most 500
--   flags  allow-oom
--   returns a flat list id, cents, requested_at_ms, attempts, …; empty when nothing waits or the lease is over
local queue, known, in_flight, owners = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local owner, processor, count = ARGV[1], ARGV[2], tonumber(ARGV[3])
local now = record_now()
if tonumber(redis.call("HGET", owners, owner) or 0) < tonumber(now) then
  return {}
end
local claimed = {}
local ids = redis.call("LRANGE", queue, -count, -1)
for i = #ids, 1, -1 do -- the oldest is at the tail
  local id = ids[i]
  local state, amount, _, since, attempts, reference = record_of(known, id)
  if state == "queued" then -- or a late answer has ended it while it waited here
    attempts = tostring(tonumber(attempts) + 1)
    local holder = owner .. "@" .. since
    redis.call("HSET", known, id, record_text("in_flight", amount, processor, now, attempts, reference, holder))
    redis.call("SADD", in_flight, id)
    claimed[#claimed + 1] = id
    claimed[#claimed + 1] = amount
    claimed[#claimed + 1] = now
    claimed[#claimed + 1] = attempts
  end
end
redis.call("LTRIM", queue, 0, -count - 1)
return claimed
