-- What a consumer of a list does on every turn: renew its own lease, move what is due, see who went silent.
--   KEYS[1] queue      list of packed messages, oldest right
--   KEYS[2] delayed    sorted set, packed message by due ms
--   KEYS[3] consumers  sorted set, name by end of its lease in ms
--   ARGV[1] consumer
--   ARGV[2] lease_ms
--   ARGV[3] due_max    moved at most
--   returns {moved, ms until the next is due or -1, {names of consumers whose lease is over}}
--   flags   allow-oom
-- @include "clock.lua"
-- @include "due.lua"
local queue, delayed, consumers, now_ms = KEYS[1], KEYS[2], KEYS[3], clock_ms()
redis.call("ZADD", consumers, now_ms + ARGV[2], ARGV[1])
local moved, next_ms = due_now(delayed, now_ms, ARGV[3], function(id, deliveries, first_ms, fields)
  local before, handed_out = string.match(deliveries, "^(%S+) ?(%S*)") -- the second of what could not be given up
  handed_out = handed_out == "" and "0" or handed_out
  redis.call("LPUSH", queue, cmsgpack.pack({ id, handed_out, first_ms, before, unpack(fields) }))
end)
return { moved, next_ms, redis.call("ZRANGEBYSCORE", consumers, "-inf", now_ms, "LIMIT", 0, 10) }
