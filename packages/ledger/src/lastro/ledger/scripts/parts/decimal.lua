-- Decimal text to and from little-endian bytes, exact up to 128 bits, in steps that stay below 2^53.

-- The decimal text of 2, 4, 8 or 16 bytes.
local function decimal(bytes)
  local low, middle, high = read("<I6I6I4", bytes .. sub(ZERO16, #bytes + 1))
  if middle == 0 and high == 0 then
    return format("%.0f", low)
  end
  local limbs = { high, floor(middle / 16777216), middle % 16777216, floor(low / 16777216), low % 16777216 }
  local text = ""
  repeat
    local rest, more = 0, false
    for i = 1, 5 do
      local value = rest * 16777216 + limbs[i]
      limbs[i] = floor(value / 10000000)
      rest = value % 10000000
      more = more or limbs[i] > 0
    end
    text = (more and format("%07.0f", rest) or format("%.0f", rest)) .. text
  until not more
  return text
end

-- The given number of bytes for a decimal text, or nil if it does not fit.
local function from_decimal(text, size)
  text = text:match("^0*(%d+)$")
  if not text or #text > 39 then
    return nil
  end
  local limbs = { 0, 0, 0, 0, 0, 0 }
  local first = (#text - 1) % 7 + 1
  local group, at = sub(text, 1, first), first + 1
  while group ~= "" do
    local carry = tonumber(group)
    for i = 1, 6 do
      local value = limbs[i] * 10000000 + carry
      limbs[i] = value % 16777216
      carry = floor(value / 16777216)
    end
    group, at = sub(text, at, at + 6), at + 7
  end
  local bytes = write("<I3I3I3I3I3I3", unpack(limbs))
  if sub(bytes, size + 1) ~= sub("\0\0" .. ZERO16, size + 1) then
    return nil
  end
  return sub(bytes, 1, size)
end
