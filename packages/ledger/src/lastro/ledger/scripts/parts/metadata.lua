-- Metadata: JSON text beside a transfer, that every reader of JSON can read. Each look is a pass over the whole text: a
-- function called for every word of it held the server for seconds.
local METADATA_MAX = 4096 -- bytes; both bounds are in engine/requests.py, too
local LEVELS_MAX = 100 -- objects and arrays within one another
local CALL_MAX = 1048576 -- bytes in one call that nobody has looked at yet: a fifth of a second
local LETTERS = { ["true"] = "", ["false"] = "", null = "", e = "", E = "" } -- all there are between strings
local CHARACTERS = { "[\194-\223][\128-\191]", "\224[\160-\191][\128-\191]",
  "[\225-\236\238\239][\128-\191][\128-\191]", "\237[\128-\159][\128-\191]", "\240[\144-\191][\128-\191][\128-\191]",
  "[\241-\243][\128-\191][\128-\191][\128-\191]", "\244[\128-\143][\128-\191][\128-\191]" }
local LONG = ("%d"):rep(20)

-- Whether a text is UTF-8: what is left of it without its whole characters is ASCII.
local function is_utf8(text)
  for i = 1, #CHARACTERS do
    if not text:find("[\128-\255]") then
      return true
    end
    text = text:gsub(CHARACTERS[i], " ")
  end
  return not text:find("[\128-\255]")
end

-- Whether all numbers that are no integers fit into a double: those of few digits and a short exponent do.
local function are_finite(bare)
  if bare:find("[eE]%+?%d%d%d") or bare:find(LONG) then
    for word in bare:gmatch("%d+[.eE][%d.eE+-]*") do
      if tonumber(word) == math.huge then
        return false
      end
    end
  end
  return true
end

-- Whether what is between the strings is JSON, if cjson could read it: that takes 01, 1. and 0x1 for numbers, too.
local function is_plain(bare)
  local letters, point, plus = bare:find("%a"), bare:find(".", 1, true), bare:find("+", 1, true)
  return not (letters and bare:gsub("%a+", LETTERS):find("%a"))
    and not (bare:find("0", 1, true) and bare:find("[^%d.eE+-]%-?0%d"))
    and not (point and (bare:find("%D%.") or bare:find("%.%D")))
    and not (plus and bare:find("[^eE]%+"))
    and (not letters and not point or are_finite(bare))
end

-- Whether objects and arrays are no deeper within one another than they may be.
local function is_shallow(bare)
  local brackets, depth = bare:gsub("[^%[%]{}]+", ""), 0
  if #brackets > LEVELS_MAX * 2 then
    for opening, closing in brackets:gmatch("([%[{]+)([%]}]*)") do
      depth = depth + #opening
      if depth > LEVELS_MAX then
        return false
      end
      depth = depth - #closing
    end
  end
  return true
end

-- Whether a text that cjson reads is JSON, nested no deeper than it may be.
local function is_strict(text)
  local whole = text:find("\\", 1, true) and text:gsub("\\.", "") or text -- then a quote begins or ends a string
  local bare = " " .. (whole:find('"', 1, true) and whole:gsub('"[^"]*"', "") or whole) .. " "
  if text:find("[^\32-\126]") then
    local _, controls = text:gsub("[%z\1-\31]", "")
    local _, between = bare:gsub("[\t\n\r]", "")
    if controls ~= between or not is_utf8(text) then -- one in a string, or one that is nowhere
      return false
    end
  end
  return is_plain(bare) and is_shallow(bare)
end

local looked_at = 0 -- bytes, in this call

-- What is wrong with metadata, if anything is; `strict` if its sender says that it is strict JSON.
local function refuse_metadata(text, strict)
  if type(text) ~= "string" then
    return "metadata must be a string that holds JSON"
  elseif #text > METADATA_MAX then
    return "metadata is longer than " .. METADATA_MAX .. " bytes"
  elseif strict then
    return nil
  end
  looked_at = looked_at + #text
  if looked_at > CALL_MAX then
    return "metadata is longer than " .. CALL_MAX .. " bytes in all events together"
  elseif not pcall(cjson.decode, text) or not is_strict(text) then
    return "metadata must be a string that holds JSON, of at most " .. LEVELS_MAX .. " levels"
  end
end
