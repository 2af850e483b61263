-- Put messages into a list, now or later, as long as there is room; a single one once under its operation id.
--   KEYS[1] queue        list of packed messages {id, handed out, first_ms, deliveries before, fields...}; oldest right
--   KEYS[2] delayed      sorted set, packed message by due ms
--   KEYS[3] once         string, the id given before; lives ARGV[3]
--   ARGV[1] len_max      in the list and delayed together
--   ARGV[2] delay_ms     0 for now
--   ARGV[3] remember_ms  0 when there is no operation id
--   ARGV[4..] items      number of values, then id, then name and value of each field; again for the next message
--   returns the ids of those accepted, fewer than given when it became full; of one given before its id then, "again"
-- @include "clock.lua"
-- @include "due.lua"
-- @include "once.lua"
local queue, delayed, once = KEYS[1], KEYS[2], KEYS[3]
local len_max, delay_ms, remember_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local before = remember_ms > 0 and once_told(once)
if before then
  return { before, "again" }
end
local room = len_max - redis.call("LLEN", queue) - redis.call("ZCARD", delayed)
local now_ms, ids, at = clock_ms(), {}, 4
while at <= #ARGV and #ids < room do
  local id, last = ARGV[at + 1], at + tonumber(ARGV[at])
  if delay_ms > 0 then
    due_later(delayed, now_ms + delay_ms, id, 0, now_ms, { unpack(ARGV, at + 2, last) })
  else
    redis.call("LPUSH", queue, cmsgpack.pack({ id, "0", tostring(now_ms), "0", unpack(ARGV, at + 2, last) }))
  end
  ids[#ids + 1] = id
  at = last + 1
end
if remember_ms > 0 and ids[1] then
  once_store(once, ids[1], remember_ms)
end
return ids
