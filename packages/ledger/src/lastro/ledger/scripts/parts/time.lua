-- Timestamps are nanoseconds in two numbers, 48 bits and 15 bits, because a double ends at 53.

-- A timestamp some nanoseconds later; fewer than 2^48 of them.
local function later(low, high, nanos)
  low = low + nanos
  if low >= LIMB then
    return low - LIMB, high + 1
  end
  return low, high
end

-- When a pending transfer of that timestamp and timeout expires.
local function expiry(low, high, timeout_seconds)
  local upper = floor(timeout_seconds / 65536) * 1000000000
  low = low + timeout_seconds % 65536 * 1000000000 + upper % LIMB_TOP * 65536
  return low % LIMB, high + floor(upper / LIMB_TOP) + floor(low / LIMB)
end

-- Whether a timestamp is not after another one.
local function not_after(a_low, a_high, b_low, b_high)
  return a_high < b_high or a_high == b_high and a_low <= b_low
end
