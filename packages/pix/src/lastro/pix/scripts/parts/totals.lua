-- Count settled money: the two counters of the original system, exact, and the centavos beside them.
local function count_settled(count_key, cents_key, amount_key, count, cents)
  if count == 0 then
    return
  end
  call("INCRBY", count_key, count)
  call("INCRBY", cents_key, whole(cents))
  local total = call("GET", cents_key)
  if #total < 3 then
    total = string.rep("0", 3 - #total) .. total
  end
  call("SET", amount_key, total:sub(1, -3) .. "." .. total:sub(-2))
end

-- A time in a histogram: exact below 100 ms, two digits above.
local function mark(histogram, ms)
  local step = 1
  while ms / step >= 100 do
    step = step * 10
  end
  add(histogram, whole(math.floor(ms / step) * step), 1)
end
