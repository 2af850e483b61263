-- Make the stock what the winners leave, if it is not; never below 0.
--   KEYS[1] stock         string
--   KEYS[2] meta          hash
--   KEYS[3] participants  hash
--   KEYS[4] returned      hash
--   returns by how much it changed
local stock, meta, participants, returned = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local left = redis.call("GET", stock)
if not left then
  return 0 -- being recovered: whoever does that sets it
end
local total = tonumber(redis.call("HGET", meta, "total"))
local right = math.max(0, total - redis.call("HLEN", participants) + redis.call("HLEN", returned))
if right ~= tonumber(left) then
  redis.call("SET", stock, right)
  redis.call("HINCRBY", meta, "gen", 1)
end
return right - tonumber(left)
