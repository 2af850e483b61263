-- What waits for its next try, the soonest first, as it was published.
--   KEYS[1] delayed    sorted set, packed message by due ms
--   ARGV[1] after      how many to pass over
--   ARGV[2] count_max
--   returns {{field, value, ...}, ...}
--   flags   allow-oom
local found = {}
for _, member in ipairs(redis.call("ZRANGE", KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)) do
  found[#found + 1] = { unpack(cmsgpack.unpack(member), 4) }
end
return found
