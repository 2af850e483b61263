-- What a consumer does on every turn: see that its group exists, move what is due, take over what was left behind.
-- An entry's second delivery counts here; later ones count when `begin` is called: those go one at a time.
--   KEYS[1] stream     stream; its group is created at 0 when it is missing
--   KEYS[2] delayed    sorted set, packed message by due ms
--   ARGV[1] group
--   ARGV[2] consumer
--   ARGV[3] lease_ms   what was not renewed for so long is taken over
--   ARGV[4] cursor     where the last turn stopped looking
--   ARGV[5] count_max  taken over at most
--   ARGV[6] due_max    moved at most
--   returns {created 0|1, moved, ms until the next is due or -1, next cursor, {{id, fields, deliveries so far}...}}
--   flags   allow-oom
-- @include "clock.lua"
-- @include "due.lua"
-- @include "entry.lua"
local stream, delayed, group, consumer, lease_ms = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local cursor, count_max, due_max = ARGV[4], ARGV[5], ARGV[6]

local made = redis.pcall("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
local created = made.err and 0 or 1
if made.err and not string.find(made.err, "BUSYGROUP", 1, true) then
  return made
end

local moved, next_ms = due_now(delayed, clock_ms(), due_max, function(_, deliveries, first_ms, fields)
  entry_again(stream, deliveries, first_ms, fields)
end)

local taken = {}
if tonumber(count_max) > 0 then
  local claimed = redis.call("XAUTOCLAIM", stream, group, consumer, lease_ms, cursor, "COUNT", count_max, "JUSTID")
  cursor = claimed[1]
  for _, id in ipairs(claimed[2]) do
    local entry = redis.call("XRANGE", stream, id, id)[1]
    if entry then
      local deliveries = redis.call("XPENDING", stream, group, id, id, 1)[1][4]
      if deliveries < 2 then
        redis.call("XCLAIM", stream, group, consumer, 0, id, "RETRYCOUNT", deliveries + 1, "JUSTID")
      end
      taken[#taken + 1] = { id, entry[2], deliveries }
    else
      redis.call("XACK", stream, group, id) -- deleted by hand while pending; servers before 7.0 keep its name
    end
  end
end
return { created, moved, next_ms, cursor, taken }
