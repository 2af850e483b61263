-- JSON as it is written: cjson reads more than JSON has, and makes the same number of 1, 1.0, 1e0, 01 and 0x1.
local LITERALS = { ["true"] = true, ["false"] = true, null = true }

-- A text with what is between its strings respelled word by word, and its strings one by one.
local function respell(text, word, quoted)
  local parts, at, n = {}, 1, 0
  while at <= #text do
    local open = text:find('"', at, true) or #text + 1
    local close = text:find('["\\]', open + 1)
    while close and byte(text, close) == 92 do -- a backslash, and what it escapes
      close = text:find('["\\]', close + 2)
    end
    close = close or #text
    parts[n + 1] = sub(text, at, open - 1):gsub("[^%s%[%]{}:,]+", word)
    parts[n + 2] = quoted and quoted(sub(text, open, close)) or sub(text, open, close)
    at, n = close + 1, n + 2
  end
  return table.concat(parts)
end

local function is_integer(word)
  return word:find("^%-?[1-9]%d*$") or word == "0" or word == "-0"
end

-- What is read as a number and is no plain integer becomes a string, which the rule of its field refuses by name.
local function spell_number(word)
  local lower = word:lower()
  if not is_integer(word) and (lower:find("^[-+]?%.?%d") or lower:find("^[-+]?inf") or lower:find("^[-+]?nan")) then
    return '"no integer: ' .. word .. '"'
  end
end

-- Whether a text is JSON, and what it says; or why it is none.
local function decode_json(text)
  for word in ("[" .. text):gmatch("[:,%[]%s*([-+%w.]+)") do -- in a string, too: respelling is slow, and exact
    if not is_integer(word) and not LITERALS[word] then
      return pcall(cjson.decode, respell(text, spell_number))
    end
  end
  return pcall(cjson.decode, text)
end
