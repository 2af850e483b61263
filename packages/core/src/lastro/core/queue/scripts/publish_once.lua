-- Append one message, now or later, once under its operation id.
--   KEYS[1] stream       stream
--   KEYS[2] delayed      sorted set, packed message by due ms
--   KEYS[3] once         string, the id given before; lives ARGV[3]
--   ARGV[1] len_max      not acknowledged and delayed together
--   ARGV[2] delay_ms     0 for now
--   ARGV[3] remember_ms  0 when there is no operation id
--   ARGV[4] token        tells equal delayed messages apart; such a message's id until it comes due
--   ARGV[5..] fields     name and value of each
--   returns the first that applies:
--     id, "again"  of the message that it was given before
--     nothing      it is full; nothing changed
--     id           of the new message
-- @include "clock.lua"
-- @include "due.lua"
-- @include "once.lua"
local stream, delayed, once, len_max, delay_ms = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1]), tonumber(ARGV[2])
local remember_ms, token = tonumber(ARGV[3]), ARGV[4]
local before = remember_ms > 0 and once_told(once)
if before then
  return { before, "again" }
end
if redis.call("XLEN", stream) + redis.call("ZCARD", delayed) >= len_max then
  return {}
end
local id = token
if delay_ms > 0 then
  local now_ms = clock_ms()
  due_later(delayed, now_ms + delay_ms, token, 0, now_ms, { unpack(ARGV, 5) })
else
  id = redis.call("XADD", stream, "*", unpack(ARGV, 5))
end
if remember_ms > 0 then
  once_store(once, id, remember_ms)
end
return { id }
