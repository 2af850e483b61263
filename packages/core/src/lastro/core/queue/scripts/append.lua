-- Push bodies onto a plain list, in order, as long as there is room.
--   KEYS[1] queue       list; oldest right
--   ARGV[1] len_max
--   ARGV[2..] bodies    at most 500
--   returns how many were pushed
local queue = KEYS[1]
local room = tonumber(ARGV[1]) - redis.call("LLEN", queue)
local pushed = math.max(0, math.min(room, #ARGV - 1))
if pushed > 0 then
  redis.call("LPUSH", queue, unpack(ARGV, 2, pushed + 1))
end
return pushed
