-- @include "order.lua"
-- Lead the passing on of a log for a while: say how far it got, and get what comes next. Readers are not needed: where
-- it got is the group's last-delivered id, and it only moves forward.
--   KEYS[1] stream     stream, a log
--   KEYS[2] leader     string, who leads; lives ARGV[3]
--   ARGV[1] group
--   ARGV[2] token      who asks
--   ARGV[3] lead_ms    for so long nobody else leads; 1 to stop leading
--   ARGV[4] done       id of the last entry that was passed on, or empty
--   ARGV[5] count_max  entries
--   returns entries: the next ones after the last that was passed on; or false when another leads
--   flags   allow-oom
local stream, leader, group, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local lead_ms, done, count_max = ARGV[3], ARGV[4], ARGV[5]
local holder = redis.call("GET", leader)
local led = not holder or holder == token
if led then
  redis.call("SET", leader, token, "PX", lead_ms)
end
if redis.call("EXISTS", stream) == 0 then
  return led and {}
end

local last
for _, told in ipairs(redis.call("XINFO", "GROUPS", stream)) do
  local about = {}
  for at = 1, #told, 2 do
    about[told[at]] = told[at + 1]
  end
  if about.name == group then
    last = about["last-delivered-id"]
  end
end
if not last then
  redis.call("XGROUP", "CREATE", stream, group, "0")
  last = "0-0"
end
if done ~= "" and entry_earlier(last, done) then
  redis.call("XGROUP", "SETID", stream, group, done)
  last = done
end
return led and redis.call("XRANGE", stream, "(" .. last, "+", "COUNT", count_max)
