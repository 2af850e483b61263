-- Forget the name of a settled event, and count what it gave, once.
--   KEYS[1] live      hash event -> created ms
--   KEYS[2] settled   string, coupons given by events that are settled
--   ARGV[1] event_id
--   ARGV[2] issued    coupons it gave
--   returns how many coupons settled events gave
--   flags   allow-oom
local live, settled, event_id, issued = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
return redis.call("INCRBY", settled, redis.call("HDEL", live, event_id) * issued)
