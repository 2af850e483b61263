-- Count a delivery of a message that went wrong twice before, at the moment it is handed to the handler.
--   KEYS[1] taken   list, what this consumer has in hand
--   ARGV[1] member
--   returns the member as it is now, or "" when it is not in hand any more
--   flags   allow-oom
local taken, member = KEYS[1], ARGV[1]
if redis.call("LREM", taken, 1, member) == 0 then
  return ""
end
local packed = cmsgpack.unpack(member)
packed[2] = tostring(tonumber(packed[2]) + 1)
member = cmsgpack.pack(packed)
redis.call("LPUSH", taken, member)
return member
