-- Stop giving coupons of an event whose server was restored or replaced, and start a new epoch.
--   KEYS[1] meta     hash; made from the plan when it is missing, and what operators change when its version is older
--   KEYS[2] stock    string; away until the recovery ends
--   KEYS[3] events   stream; made with its group when it is missing
--   ARGV[1] group
--   ARGV[2] epoch    the highest the database knows
--   ARGV[3..] plan   field, value, … for a server that has lost it; "state" among them
--   what it was is kept in "was"; where nobody knows, it will be paused
--   returns the new epoch
local meta, stock, events, group, known = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2])
redis.pcall("XGROUP", "CREATE", events, group, "0", "MKSTREAM") -- it may be there: then nothing is wrong
local told = {}
for at = 3, #ARGV, 2 do -- ARGV[3..] plan
  told[ARGV[at]] = ARGV[at + 1]
end
local m = redis.call("HMGET", meta, "version", "state")
if not m[1] then
  redis.call("HSET", meta, unpack(ARGV, 3))
elseif told.coupon_id then -- the database has rows of it under this one, and takes none under another
  redis.call("HSET", meta, "coupon_id", told.coupon_id)
end
if m[1] and tonumber(told.version or 0) > tonumber(m[1]) then
  local its = m[2] == "recovering" and "was" or "state"
  for _, name in ipairs({ "version", "total", "starts_ms", "ends_ms" }) do
    redis.call("HSET", meta, name, told[name])
  end
  redis.call("HSET", meta, its, told.state)
end
local state = redis.call("HGET", meta, "state")
if state ~= "recovering" then
  redis.call("HSET", meta, "was", state, "state", "recovering")
else
  redis.call("HSETNX", meta, "was", "paused") -- nobody knows what it was
end
redis.call("DEL", stock)
local epoch = math.max(known, tonumber(redis.call("HGET", meta, "epoch"))) + 1
redis.call("HSET", meta, "epoch", epoch)
redis.call("HINCRBY", meta, "gen", 1)
return epoch
