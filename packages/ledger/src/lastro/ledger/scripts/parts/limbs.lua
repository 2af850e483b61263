-- Arithmetic on u128 as three limbs: 48, 48 and 32 bits, lowest first. Sums never pass 2^53.

-- The sum, and whether it passed 2^128.
local function add(a1, a2, a3, b1, b2, b3)
  local s1, s2, s3 = a1 + b1, a2 + b2, a3 + b3
  if s1 >= LIMB then
    s1, s2 = s1 - LIMB, s2 + 1
  end
  if s2 >= LIMB then
    s2, s3 = s2 - LIMB, s3 + 1
  end
  return s1, s2, s3, s3 >= LIMB_TOP
end

-- The difference; the caller knows that b is not above a.
local function subtract(a1, a2, a3, b1, b2, b3)
  local d1, d2, d3 = a1 - b1, a2 - b2, a3 - b3
  if d1 < 0 then
    d1, d2 = d1 + LIMB, d2 - 1
  end
  if d2 < 0 then
    d2, d3 = d2 + LIMB, d3 - 1
  end
  return d1, d2, d3
end

-- Whether a is below b; exact for sums that passed 2^128, too.
local function below(a1, a2, a3, b1, b2, b3)
  if a3 ~= b3 then
    return a3 < b3
  end
  if a2 ~= b2 then
    return a2 < b2
  end
  return a1 < b1
end
