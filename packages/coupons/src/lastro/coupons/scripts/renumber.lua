-- Give winners whose number another has numbers after all others; the rest of their records stays.
--   KEYS[1] participants  hash winner -> seq|issuance_id|...
--   KEYS[2] meta          hash; its seq is the last of theirs afterwards
--   ARGV[1..] winners     at most 1,000
--   returns their records
local participants, meta = KEYS[1], KEYS[2]
local records = {}
for at, winner in ipairs(ARGV) do
  local rest = string.match(redis.call("HGET", participants, winner), "|.*$")
  records[at] = redis.call("HINCRBY", meta, "seq", 1) .. rest
  redis.call("HSET", participants, winner, records[at])
end
return records
