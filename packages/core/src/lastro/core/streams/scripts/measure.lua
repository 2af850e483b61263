-- What an operator wants to know about a queue, at one moment.
--   KEYS[1] stream      stream
--   KEYS[2] delayed     sorted set
--   KEYS[3] dead        stream of dead letters
--   ARGV[1] group
--   ARGV[2] keep        "1" for a log, whose acknowledged entries still lie there
--   returns {lag, pending, delayed, dead, age of the oldest that is not done in ms}
--   flags   allow-oom
-- @include "clock.lua"
-- @include "entry.lua"
local stream, delayed, dead, group, keep = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2] == "1"
local length = redis.call("XLEN", stream)
local pending = redis.pcall("XPENDING", stream, group)
if pending.err then
  pending = { 0, false }
end
local lag = length - pending[1]
local oldest = redis.call("XRANGE", stream, pending[2] or "-", "+", "COUNT", 1)[1]
if keep and not (redis.call("EXISTS", stream) == 0) then
  lag = 0
  for _, told in ipairs(redis.call("XINFO", "GROUPS", stream)) do
    local about = {}
    for at = 1, #told, 2 do
      about[told[at]] = told[at + 1]
    end
    if about.name == group then
      local after = redis.call("XRANGE", stream, "(" .. about["last-delivered-id"], "+", "COUNT", 1)[1]
      lag = not after and 0 or about.lag or length
      oldest = pending[2] and oldest or after
    end
  end
end
local age_ms = 0
if oldest then
  local _, first_ms = entry_fields(oldest[2])
  age_ms = math.max(0, clock_ms() - tonumber(first_ms or string.match(oldest[1], "^%d+")))
end
return { lag, pending[1], redis.call("ZCARD", delayed), redis.call("XLEN", dead), age_ms }
