-- Forget consumers that are gone: only with nothing pending, since deleting one drops what it holds.
--   KEYS[1] source        stream
--   ARGV[1] group
--   ARGV[2] idle_ms       silent for so long
--   returns how many were forgotten
--   flags  allow-oom
local gone = 0
for _, consumer in ipairs(redis.call("XINFO", "CONSUMERS", KEYS[1], ARGV[1])) do
  local facts = {}
  for i = 1, #consumer, 2 do
    facts[consumer[i]] = consumer[i + 1]
  end
  if facts.pending == 0 and facts.idle > ARGV[2] + 0 then
    redis.call("XGROUP", "DELCONSUMER", KEYS[1], ARGV[1], facts.name)
    gone = gone + 1
  end
end
return gone
