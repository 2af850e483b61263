-- What every batch needs: the clock, whole numbers, sums, the look before the first write, the acknowledgement.
local call = redis.call

-- The server's clock, in milliseconds.
local function now_ms()
  local t = call("TIME")
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A whole number as Redis wants it: tostring() would turn 1e14 into "1e+14".
local function whole(n)
  return string.format("%.0f", n)
end

local function add(totals, name, amount)
  totals[name] = (totals[name] or 0) + amount
end

-- Write a table of sums into a hash.
local function post(hash, totals)
  for field, amount in pairs(totals) do
    if amount ~= 0 then
      call("HINCRBY", hash, field, whole(amount))
    end
  end
end

-- Before the first write: a key of the wrong type would stop the script half-way. KEYS from `first` are `count` records,
-- then outboxes. False when a minute is not open: its records would have no end of life.
local function ready(first, count)
  local open = true
  for i = first, #KEYS do
    local kind = call("TYPE", KEYS[i]).ok
    assert(kind == "none" or kind == (i < first + count and "hash" or "stream"), KEYS[i] .. " is a " .. kind)
    open = open and (kind ~= "none" or i >= first + count)
  end
  return open
end

-- Take handled entries out of the stream for good: XACK alone frees no memory.
local function acknowledge(stream, group, ids)
  if #ids > 0 then
    call("XACK", stream, group, unpack(ids))
    call("XDEL", stream, unpack(ids))
  end
end
