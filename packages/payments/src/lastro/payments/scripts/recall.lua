-- @include "parts/record.lua"
-- What an owner has in flight, at one moment.
--   KEYS[1] known      hash id -> record
--   KEYS[2] in_flight  set of the ids of this owner
--   ARGV[1] owner
--   flags  allow-oom
--   returns a flat list id, cents, processor, requested_at_ms, attempts, …
local known, in_flight, owner = KEYS[1], KEYS[2], ARGV[1]
local found = {}
for _, id in ipairs(redis.call("SMEMBERS", in_flight)) do
  local state, amount, processor, at, attempts, _, note = record_of(known, id)
  if state == "in_flight" and record_holder(note) == owner then
    for _, value in ipairs({ id, amount, processor, at, attempts }) do
      found[#found + 1] = value
    end
  end
end
return found
