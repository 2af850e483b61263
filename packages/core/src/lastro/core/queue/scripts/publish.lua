-- Append messages to a queue, in order, as long as there is room.
--   KEYS[1] stream     stream
--   KEYS[2] delayed    sorted set; what waits there counts as well
--   ARGV[1] len_max    not acknowledged and delayed together
--   ARGV[2..] items    number of values, then name and value of each field; again for the next message
--   returns the ids of those appended; fewer than given when the queue became full
local stream, delayed, len_max = KEYS[1], KEYS[2], tonumber(ARGV[1])
local room = len_max - redis.call("XLEN", stream) - redis.call("ZCARD", delayed)
local ids = {}
local at = 2
while at <= #ARGV and #ids < room do
  local last = at + tonumber(ARGV[at])
  ids[#ids + 1] = redis.call("XADD", stream, "*", unpack(ARGV, at + 1, last))
  at = last + 1
end
return ids
