-- Let go of everything a consumer has, at once, and of its name when nothing is left: others need not wait for its lease.
--   KEYS[1] stream      stream
--   ARGV[1] group
--   ARGV[2] consumer
--   ARGV[3] nobody      the consumer that holds what was released until the next turn of another
--   returns how many were released, at most 5,000; the name is gone when fewer were
--   flags   allow-oom
local stream, group, consumer, nobody = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local released = 0
for _ = 1, 10 do
  local pending = redis.pcall("XPENDING", stream, group, "-", "+", 500, consumer)
  if pending.err then
    return 0 -- no group: nothing is held
  end
  local ids = {}
  for at, found in ipairs(pending) do
    ids[at] = found[1]
  end
  if #ids == 0 then
    redis.call("XGROUP", "DELCONSUMER", stream, group, consumer)
    break
  end
  released = released + #ids
  ids[#ids + 1] = "IDLE"
  ids[#ids + 1] = 1000000000
  ids[#ids + 1] = "JUSTID"
  redis.call("XCLAIM", stream, group, nobody, 0, unpack(ids))
end
return released
