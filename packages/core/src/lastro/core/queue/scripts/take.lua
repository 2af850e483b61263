-- Take messages in hand. A first and second delivery count here; later ones when `start` is called.
--   KEYS[1] queue      list of packed messages, or of what other programs push; oldest right
--   KEYS[2] taken      list, what this consumer has in hand
--   KEYS[3] consumers  sorted set, name by end of its lease in ms
--   ARGV[1] consumer
--   ARGV[2] lease_ms
--   ARGV[3] count_max  to take from the list
--   ARGV[4..] moved    already in hand and not yet looked at, as BLMOVE gave them
--   returns {{member, id, handed out so far, first_ms, deliveries before, {fields}}...}
--   flags   allow-oom
-- @include "clock.lua"
-- @include "opened.lua"
local queue, taken, consumers, count_max = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[3])
local now_ms = clock_ms()
redis.call("ZADD", consumers, now_ms + ARGV[2], ARGV[1])
local found = {}

local function look(member)
  local packed = opened(member, now_ms)
  local handed_out = tonumber(packed[2])
  if handed_out < 2 then
    packed[2] = tostring(handed_out + 1)
    member = cmsgpack.pack(packed)
  end
  redis.call("LPUSH", taken, member)
  found[#found + 1] = { member, packed[1], handed_out, packed[3], packed[4], { unpack(packed, 5) } }
end

for at = 4, #ARGV do
  if redis.call("LREM", taken, 1, ARGV[at]) == 1 then
    look(ARGV[at])
  end
end
for _ = 1, count_max do
  local member = redis.call("RPOP", queue)
  if not member then
    break
  end
  look(member)
end
return found
