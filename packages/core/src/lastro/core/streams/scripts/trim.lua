-- @include "order.lua"
-- Free what every group of a log has done with: below the lowest of each group's oldest pending and next to be read.
--   KEYS[1] stream      stream
--   returns how many entries were removed
--   flags   allow-oom
local stream = KEYS[1]
local groups = redis.pcall("XINFO", "GROUPS", stream)
if groups.err or #groups == 0 then
  return 0 -- nobody has read it: all of it is needed
end
local keep_from = false

for _, told in ipairs(groups) do
  local about = {}
  for at = 1, #told, 2 do
    about[told[at]] = told[at + 1]
  end
  local needed = redis.call("XPENDING", stream, about.name)[2]
  if not needed then
    local ms, seq = entry_parts(about["last-delivered-id"])
    needed = string.format("%.0f-%.0f", ms, seq + 1)
  end
  if not keep_from or entry_earlier(needed, keep_from) then
    keep_from = needed
  end
end
return redis.call("XTRIM", stream, "MINID", keep_from)
