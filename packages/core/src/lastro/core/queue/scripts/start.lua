-- Count a delivery of a message that went wrong twice before, at the moment it is handed to the handler. Asked again, for
-- the answer was lost, it is not counted again.
--   KEYS[1] taken   list, what this consumer has in hand
--   ARGV[1] member  as it was before
--   returns the member as it is now, or "" when it is not in hand any more
--   flags   allow-oom
local taken, member = KEYS[1], ARGV[1]
local packed = cmsgpack.unpack(member)
packed[2] = tostring(tonumber(packed[2]) + 1)
local begun = cmsgpack.pack(packed)
if redis.call("LREM", taken, 1, member) == 1 then
  redis.call("LPUSH", taken, begun)
  return begun
end
return redis.call("LPOS", taken, begun) and begun or ""
