-- JSON as it is written: cjson reads more than JSON has, and makes the same number of 1, 1.0, 1e0, 01 and 0x1.
local LITERALS = { ["true"] = true, ["false"] = true, null = true }

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

-- A text whose numbers between strings are spelled so.
local function respell(text)
  local bare = text:gsub("\\.", "  "):gsub('"[^"]*"', function(quoted) -- as long as the text
    return (" "):rep(#quoted)
  end)
  local parts, behind = {}, 1
  for at, word in bare:gmatch("()([^%s%[%]{}:,]+)") do
    local spelled = spell_number(word)
    if spelled then
      parts[#parts + 1] = sub(text, behind, at - 1) .. spelled
      behind = at + #word
    end
  end
  return table.concat(parts) .. sub(text, behind)
end

-- Whether a text is JSON, and what it says; or why it is none.
local function decode_json(text)
  for word in ("[" .. text):gmatch("[:,%[]%s*([-+%w.]+)") do -- in a string, too: respelling is slow, and exact
    if not is_integer(word) and not LITERALS[word] then
      return pcall(cjson.decode, respell(text))
    end
  end
  return pcall(cjson.decode, text)
end
