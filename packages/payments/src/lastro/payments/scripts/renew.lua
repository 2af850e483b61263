-- @include "parts/record.lua"
-- Say that this process lives; what it claimed stays its own for the lease.
--   KEYS[1] owners  hash owner -> until when (ms)
--   ARGV[1] owner
--   ARGV[2] lease_ms
--   flags  allow-oom
--   returns the owners whose lease is over
local owners, owner, lease_ms = KEYS[1], ARGV[1], ARGV[2]
local now = tonumber(record_now())
local dead = {}
local all = redis.call("HGETALL", owners)
for i = 1, #all, 2 do
  if all[i] ~= owner and tonumber(all[i + 1]) < now then
    dead[#dead + 1] = all[i]
  end
end
redis.call("HSET", owners, owner, string.format("%.0f", now + lease_ms))
return dead
