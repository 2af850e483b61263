-- What an operator wants to know about a list, at one moment.
--   KEYS[1] queue      list of packed messages, oldest right
--   KEYS[2] delayed    sorted set
--   KEYS[3] dead       stream of dead letters
--   KEYS[4] consumers  sorted set, name by end of its lease in ms
--   KEYS[5..] taken    lists, what each consumer has in hand
--   returns {lag, pending, delayed, dead, age of the oldest in the list in ms, {names of consumers}}
--   flags   allow-oom
-- @include "clock.lua"
-- @include "opened.lua"
local queue, delayed, dead = KEYS[1], KEYS[2], KEYS[3]
local pending = 0
for at = 5, #KEYS do
  pending = pending + redis.call("LLEN", KEYS[at])
end
local oldest = redis.call("LINDEX", queue, -1)
local now_ms = clock_ms()
local age_ms = oldest and math.max(0, now_ms - tonumber(opened(oldest, now_ms)[3])) or 0
return { redis.call("LLEN", queue), pending, redis.call("ZCARD", delayed), redis.call("XLEN", dead), age_ms, redis.call("ZRANGE", KEYS[4], 0, -1) }
