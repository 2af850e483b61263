-- Acknowledge inside a script of one's own: the effect, its answer and the end of the message are one atomic step.
-- ack(stream, group, id, keep): settle one entry; 1, or 0 when it was settled before. Its memory is free then, unless
-- it is to be kept: in a log it is for other groups, too, until all have done with it.
local function ack(stream, group, id, keep)
  local settled = redis.call("XACK", stream, group, id)
  if not keep then
    redis.call("XDEL", stream, id)
  end
  return settled
end
