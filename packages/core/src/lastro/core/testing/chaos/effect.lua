-- One effect per operation id, for tests of what exactly once means.
--   KEYS[1] total    string, effects so far
--   KEYS[2] once     string, the answer given before; lives ARGV[1]
--   ARGV[1] life_ms
--   returns the total after this effect, the same on a repeat
-- @include "once.lua"
local total, once, life_ms = KEYS[1], KEYS[2], ARGV[1]
local before = once_told(once)
if before then
  return tonumber(before)
end
local now = redis.call("INCR", total)
redis.call("PEXPIRE", total, life_ms)
once_store(once, now, life_ms)
return now
