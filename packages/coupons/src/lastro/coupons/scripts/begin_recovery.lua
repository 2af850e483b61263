-- Stop giving coupons of an event whose server was restored or replaced, and start a new epoch.
--   KEYS[1] meta     hash; made from the plan when it is missing
--   KEYS[2] stock    string; away until the recovery ends
--   KEYS[3] events   stream; made with its group when it is missing
--   ARGV[1] group
--   ARGV[2] epoch    the highest the database knows
--   ARGV[3..] plan   field, value, … for a server that has lost it; "state" among them
--   what it was is kept in "was"; where nobody knows, it will be paused
--   returns the new epoch
local meta, stock, events, group, known = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2])
redis.pcall("XGROUP", "CREATE", events, group, "0", "MKSTREAM") -- it may be there: then nothing is wrong
if redis.call("EXISTS", meta) == 0 then
  redis.call("HSET", meta, unpack(ARGV, 3))
end
local state = redis.call("HGET", meta, "state")
if state ~= "recovering" then
  redis.call("HSET", meta, "was", state, "state", "recovering")
else
  redis.call("HSETNX", meta, "was", "paused") -- a database that says "recovering" does not know what it was
end
redis.call("DEL", stock)
local epoch = math.max(known, tonumber(redis.call("HGET", meta, "epoch"))) + 1
redis.call("HSET", meta, "epoch", epoch)
redis.call("HINCRBY", meta, "gen", 1)
return epoch
