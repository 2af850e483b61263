-- Make sure that a stream has a group; it begins at the oldest entry, and one that is there stays as it is.
--   KEYS[1] source        stream
--   ARGV[1] group
--   ARGV[2] make          1 makes the stream where there is none, 0 leaves nothing behind
--   returns "open", or "none" when there is no stream
--   flags  allow-oom
local there = redis.call("EXISTS", KEYS[1]) == 1
if not there and ARGV[2] == "0" then
  return "none"
end
for _, group in ipairs(there and redis.call("XINFO", "GROUPS", KEYS[1]) or {}) do
  if group[2] == ARGV[1] then -- "name" and the name come first
    return "open"
  end
end
redis.call("XGROUP", "CREATE", KEYS[1], ARGV[1], "0", "MKSTREAM")
return "open"
