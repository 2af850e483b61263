-- What waits for its next try, the soonest first, as it was published.
--   KEYS[1] delayed    sorted set, packed message by due ms
--   ARGV[1] after      how many to pass over
--   ARGV[2] count_max
--   ARGV[3] group
--   returns {{field, value, ...}, ...}; an empty one for what comes back for another group
--   flags   allow-oom
local found = {}
for _, member in ipairs(redis.call("ZRANGE", KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)) do
  local packed = cmsgpack.unpack(member)
  local back_for = string.match(packed[3], " (.*)$")
  found[#found + 1] = (not back_for or back_for == ARGV[3]) and { unpack(packed, 4) } or {}
end
return found
