-- @include "parts/record.lua"
-- @include "parts/lease.lua"
-- Say that this process lives; what it claimed stays its own for the lease.
--   KEYS[1] owners  hash owner -> until when (ms)
--   ARGV[1] owner
--   ARGV[2] lease_ms
--   flags  allow-oom
--   returns 1 if its lease had not ended, else 0: another may have taken over what it had. Then the owners whose lease is over
local owners, owner, lease_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local now = tonumber(record_now())
local told = { lease_over(redis.call("HGET", owners, owner), now, lease_ms) and 0 or 1 }
local all = redis.call("HGETALL", owners)
for i = 1, #all, 2 do
  if all[i] ~= owner and lease_over(all[i + 1], now, lease_ms) then
    told[#told + 1] = all[i]
  end
end
redis.call("HSET", owners, owner, string.format("%.0f", now + lease_ms))
return told
