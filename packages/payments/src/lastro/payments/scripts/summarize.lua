-- Add up what each processor charged from one millisecond to another, both included, at one instant.
--   KEYS[1] by_date    sorted set processor|id|cents by requested_at_ms
--   KEYS[2..] totals   hash per processor, in the order of the answer
--   ARGV[1] from_ms    empty: from the beginning
--   ARGV[2] to_ms      empty: to the end
--   flags  allow-oom
--   returns a flat list count, cents per processor, as integer strings
-- Whole days, hours, minutes and seconds come from the totals, the two broken seconds from the sorted set: the cost
-- depends on neither the number of payments nor, beyond its days, the length of the window.
local by_date, from_ms, to_ms = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local counts, billions, rest = {}, {}, {} -- cents in two parts: a sum of many may pass 2^53
for i = 2, #KEYS do
  counts[i], billions[i], rest[i] = 0, 0, 0
end

local function text(number)
  return string.format("%.0f", number)
end

local function add(i, count, cents)
  counts[i] = counts[i] + count
  billions[i] = billions[i] + (tonumber(string.sub(cents, 1, -10)) or 0)
  rest[i] = rest[i] + tonumber(string.sub(cents, -9))
end

local function add_all()
  for i = 2, #KEYS do
    local all = redis.call("HMGET", KEYS[i], "all:n", "all:c")
    add(i, all[1] or 0, all[2] or "0")
  end
end

local function add_entries(from, to)
  for _, member in ipairs(redis.call("ZRANGEBYSCORE", by_date, text(from), text(to))) do
    local processor, cents = string.match(member, "^(%a+)|.*|(%d+)$")
    for i = 2, #KEYS do
      if string.sub(KEYS[i], -#processor) == processor then
        add(i, 1, cents)
      end
    end
  end
end

local LEVELS = { { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 } }

local function add_seconds(from, to) -- whole seconds from..to, coarsest buckets first
  local wanted = {}
  local at = from
  while at <= to do
    for _, level in ipairs(LEVELS) do
      local length = level[2]
      if at % length == 0 and at + length - 1 <= to then
        wanted[#wanted + 1] = level[1] .. text(at / length)
        at = at + length
        break
      end
    end
  end
  for i = 2, #KEYS do
    for first = 1, #wanted, 250 do
      local fields = {}
      for j = first, math.min(first + 249, #wanted) do
        fields[#fields + 1] = wanted[j] .. ":n"
        fields[#fields + 1] = wanted[j] .. ":c"
      end
      local found = redis.call("HMGET", KEYS[i], unpack(fields))
      for j = 1, #found, 2 do
        if found[j] then
          add(i, found[j], found[j + 1])
        end
      end
    end
  end
end

local function score_at(rank)
  local edge = redis.call("ZRANGE", by_date, rank, rank, "WITHSCORES")[2]
  return edge and tonumber(edge)
end

local first, last = score_at(0), score_at(-1)
from_ms = math.max(from_ms or first or 0, first or 0)
to_ms = math.min(to_ms or last or -1, last or -1)
if first and from_ms <= first and to_ms >= last then
  add_all()
elseif first and from_ms <= to_ms then
  local whole_from, whole_to = math.ceil(from_ms / 1000), math.floor((to_ms + 1) / 1000) - 1
  if whole_from > whole_to then
    add_entries(from_ms, to_ms)
  else
    add_entries(from_ms, whole_from * 1000 - 1)
    add_seconds(whole_from, whole_to)
    add_entries(whole_to * 1000 + 1000, to_ms)
  end
end
local answer = {}
for i = 2, #KEYS do
  answer[#answer + 1] = text(counts[i])
  local carried = math.floor(rest[i] / 1e9)
  local high = billions[i] + carried
  answer[#answer + 1] = (high > 0 and text(high) or "") .. string.format(high > 0 and "%09.0f" or "%.0f", rest[i] - carried * 1e9)
end
return answer
