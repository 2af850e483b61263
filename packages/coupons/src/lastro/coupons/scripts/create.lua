-- Create an event, once.
--   KEYS[1] meta      hash; created here
--   KEYS[2] stock     string; created here
--   KEYS[3] events    stream; created here with its group
--   ARGV[1] group     that reads the stream
--   ARGV[2] total
--   ARGV[3..] plan    field, value, …
--   returns the first that applies:
--     "exists"  it was created before; it is as it is
--     "ok"      created
-- @include "clock.lua"
-- @include "parts/change.lua"
local meta, stock, events, group, total = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
if redis.call("EXISTS", meta) == 1 then
  return "exists"
end
redis.pcall("XGROUP", "CREATE", events, group, "0", "MKSTREAM") -- it may be there: then nothing is wrong
redis.call("SET", stock, total)
-- stylua: ignore
redis.call("HSET", meta, "total", total, "seq", 0, "epoch", 1, "gen", 0, "version", 0,
  "created_ms", string.format("%.0f", clock_ms()), unpack(ARGV, 3))
changed(meta, events)
return "ok"
