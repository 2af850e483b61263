-- Amounts are integer strings of the smallest unit: Lua's numbers are exact to 2^53 and `..` writes 1e+14.
-- cents(text): the same text if it is a whole number below 10^15, else an error (a bug: the edge has checked it).
local function cents(text)
  assert(type(text) == "string" and #text <= 15 and string.find(text, "^%d+$"), "not whole cents: " .. tostring(text))
  return text
end
