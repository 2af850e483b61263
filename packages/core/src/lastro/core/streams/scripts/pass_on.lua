-- @include "order.lua"
-- Lead the passing on of a log for a while: say how far it got, and get what comes next. Readers are not needed: where
-- it got is the group's last-delivered id, and it only moves forward. Entries are numbered as they were added, from 1 on:
-- what was trimmed before it was passed on leaves a hole in the numbers. Servers before 7.0 do not number.
--   KEYS[1] stream     stream, a log
--   KEYS[2] leader     string, who leads; lives ARGV[3]
--   ARGV[1] group
--   ARGV[2] token      who asks
--   ARGV[3] lead_ms    for so long nobody else leads; 1 to stop leading
--   ARGV[4] done       id of the last entry that was passed on, or empty
--   ARGV[5] number     of that entry; -1 when it is not known
--   ARGV[6] count_max  entries
--   returns {number of the last that was passed on, number before the first of these, entries: those after it}, a
--           number that is not known -1; or false when another leads
--   flags   allow-oom
local stream, leader, group, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local lead_ms, done, number, count_max = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local holder = redis.call("GET", leader)
local led = not holder or holder == token
if led then
  redis.call("SET", leader, token, "PX", lead_ms)
end
if redis.call("EXISTS", stream) == 0 then
  return led and { -1, -1, {} }
end

local function named(told)
  local about = {}
  for at = 1, #told, 2 do
    about[told[at]] = told[at + 1]
  end
  return about
end

local whole = named(redis.call("XINFO", "STREAM", stream))
local gone = whole["entries-added"] and whole["entries-added"] - whole.length or -1
local function place(verb, id, passed)
  redis.call("XGROUP", verb, stream, group, id, unpack(gone >= 0 and { "ENTRIESREAD", passed } or {}))
end

local last, passed
for _, told in ipairs(redis.call("XINFO", "GROUPS", stream)) do
  local about = named(told)
  if about.name == group then
    last, passed = about["last-delivered-id"], about["entries-read"] or -1
  end
end
if not last then
  last, passed = "0-0", gone
  place("CREATE", last, passed)
end
-- what this stream never had was in one of a server that is gone, whose clock was ahead
if done ~= "" and entry_earlier(last, done) and not entry_earlier(whole["last-generated-id"], done) then
  last, passed = done, tonumber(number)
  place("SETID", last, passed)
end
if not led then
  return false
end
local next = redis.call("XRANGE", stream, "(" .. last, "+", "COUNT", count_max)
local trimmed = whole.length == 0 or entry_earlier(last, whole["first-entry"][1])
local before = trimmed and gone or passed
return { passed < 0 and before or passed, before, next } -- a group that somebody else made is numbered from here on
