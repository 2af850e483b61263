-- Acknowledge inside a script of one's own: the effect, its answer and the end of the message are one atomic step.
-- ack(stream, group, id): settle one entry and free its memory; 1, or 0 when it was settled before.
local function ack(stream, group, id)
  local settled = redis.call("XACK", stream, group, id)
  redis.call("XDEL", stream, id)
  return settled
end
