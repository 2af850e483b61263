-- Give a user one coupon of an event, once.
--   KEYS[1] stock         string, coupons left
--   KEYS[2] participants  hash user -> seq
--   KEYS[3] events        stream; one entry per issuance
--   ARGV[1] user_id
--   returns the first that applies:
--     seq > 0  the user's coupon: the one it had, or a new one
--     -1       there is no such event
--     0        sold out
local stock, participants, events, user_id = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local won = redis.call("HGET", participants, user_id)
if won then
  return tonumber(won)
end
local left = tonumber(redis.call("GET", stock) or -1)
if left < 1 then
  return left
end
local seq = redis.call("HLEN", participants) + 1
redis.call("XADD", events, "*", "user_id", user_id, "seq", seq)
redis.call("HSET", participants, user_id, seq)
redis.call("DECR", stock)
return seq
