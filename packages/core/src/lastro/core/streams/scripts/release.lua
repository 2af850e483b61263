-- Let go of everything a consumer has, at once, and of its name when nothing is left: others need not wait for its lease.
-- A first delivery that was let go did not happen: an orderly stop is no crash.
--   KEYS[1] stream      stream
--   ARGV[1] group
--   ARGV[2] consumer
--   ARGV[3] nobody      the consumer that holds what was released until the next turn of another
--   returns how many were released, at most 5,000; the name is gone when fewer were
--   flags   allow-oom
local stream, group, consumer, nobody = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local released = 0

local function hand_on(ids, option, value)
  if #ids > 0 then
    ids[#ids + 1], ids[#ids + 2], ids[#ids + 3] = "IDLE", 1000000000, "JUSTID"
    ids[#ids + 1], ids[#ids + 2] = option, value
    redis.call("XCLAIM", stream, group, nobody, 0, unpack(ids))
  end
end

for _ = 1, 10 do
  local pending = redis.pcall("XPENDING", stream, group, "-", "+", 500, consumer)
  if pending.err then
    return 0 -- no group: nothing is held
  end
  if #pending == 0 then
    redis.call("XGROUP", "DELCONSUMER", stream, group, consumer)
    break
  end
  released = released + #pending
  local first, later = {}, {}
  for _, found in ipairs(pending) do
    local ids = found[4] == 1 and first or later
    ids[#ids + 1] = found[1]
  end
  hand_on(first, "RETRYCOUNT", 0)
  hand_on(later)
end
return released
