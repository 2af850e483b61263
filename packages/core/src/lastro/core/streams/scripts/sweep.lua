-- Remove the names of consumers that are gone. One that still has entries stays until they are taken over: deleting it
-- would drop them.
--   KEYS[1] stream      stream
--   ARGV[1] group
--   ARGV[2] idle_ms     not seen for so long
--   returns how many names were removed
--   flags   allow-oom
local stream, group, idle_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local consumers = redis.pcall("XINFO", "CONSUMERS", stream, group)
if consumers.err then
  return 0 -- no group: nobody to remove
end
local removed = 0
for _, told in ipairs(consumers) do
  local about = {}
  for at = 1, #told, 2 do
    about[told[at]] = told[at + 1]
  end
  if about.pending == 0 and about.idle >= idle_ms then
    redis.call("XGROUP", "DELCONSUMER", stream, group, about.name)
    removed = removed + 1
  end
end
return removed
