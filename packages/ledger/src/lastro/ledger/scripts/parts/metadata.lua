-- Metadata: JSON text beside a transfer, that every reader of JSON can read.
local METADATA_MAX = 4096 -- bytes; both bounds are in engine/requests.py, too
local LEVELS_MAX = 100 -- objects and arrays within one another

-- Whether a word between strings is JSON; a number that is no integer has to fit into a double, too.
local function is_word(word)
  if LITERALS[word] then
    return true
  end
  local whole, rest = word:match("^%-?(%d+)(.*)$")
  if not whole or #whole > 1 and sub(whole, 1, 1) == "0" then
    return false
  end
  local fraction = rest:gsub("^%.%d+", "", 1)
  return rest == "" or fraction:gsub("^[eE][-+]?%d+$", "") == "" and math.abs(tonumber(word)) < math.huge
end

-- Whether a text is UTF-8: what is left of it without its whole characters is ASCII.
local function is_utf8(text)
  if not text:find("[\128-\255]") then
    return true
  end
  for _, whole in ipairs({ "[\194-\223][\128-\191]", "\224[\160-\191][\128-\191]",
    "[\225-\236\238\239][\128-\191][\128-\191]", "\237[\128-\159][\128-\191]",
    "\240[\144-\191][\128-\191][\128-\191]", "[\241-\243][\128-\191][\128-\191][\128-\191]",
    "\244[\128-\143][\128-\191][\128-\191]" }) do
    text = text:gsub(whole, " ")
  end
  return not text:find("[\128-\255]")
end

-- Whether a text that cjson reads is JSON, nested no deeper than it may be.
local function is_strict(text)
  local strict, depth, deepest = is_utf8(text) and not text:find("[%z\1-\8\11\12\14-\31]"), 0, 0
  local bare = respell(text, function(word)
    strict = strict and is_word(word)
  end, function(quoted)
    strict = strict and not quoted:find("%c")
    return '""'
  end)
  for bracket in bare:gmatch("[%[%]{}]") do
    depth = depth + (bracket:find("[%[{]") and 1 or -1)
    deepest = math.max(deepest, depth)
  end
  return strict and deepest <= LEVELS_MAX
end

-- What is wrong with metadata, if anything is.
local function refuse_metadata(text)
  if type(text) ~= "string" then
    return "metadata must be a string that holds JSON"
  elseif #text > METADATA_MAX then
    return "metadata is longer than " .. METADATA_MAX .. " bytes"
  elseif not pcall(cjson.decode, text) or not is_strict(text) then
    return "metadata must be a string that holds JSON, of at most " .. LEVELS_MAX .. " levels"
  end
end
