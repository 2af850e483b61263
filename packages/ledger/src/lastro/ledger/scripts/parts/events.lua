-- What is common to the events of any request: linked chains, the import rule, burnt ids.
local first_linked, broken -- the first event of the open chain; whether the chain failed

-- The codes which burn a transfer's id.
local function burns(code)
  return code == 21 or code == 22 or code == 25 or code == 54 or code == 55 or code == 65 or code == 66
end

-- The faults of an event's timestamp; `base` is the first import code of its kind.
local function refuse_time(imported, low, high, base)
  if imported ~= all_imported then
    return all_imported and base or base + 1
  elseif not imported then
    return (low ~= 0 or high ~= 0) and 3
  elseif high >= 32768 or low == 0 and high == 0 then
    return base + 2
  elseif not_after(end_low, end_high, low, high) then
    return base + 3
  end
end

-- Break the open chain before event i.
local function break_chain(i)
  broken = true
  undo_chain()
  for j = first_linked, i - 1 do
    codes[j] = 1
  end
end

-- The code of event i. `judge` decides it once the common rules are done; `burn` gets it, and its code, if that burns ids.
local function in_order(i, linked, imported, low, high, base, judge, burn)
  local code
  if linked then
    if not first_linked then
      first_linked, broken = i, false
      start_chain()
    end
    code = i == count and 2
  end
  code = code or first_linked and broken and 1 or refuse_time(imported, low, high, base) or judge(i)
  if code ~= 0 then
    if first_linked and not broken then
      break_chain(i)
    end
    if burn and burns(code) then
      burn(i, code)
    end
  end
  if first_linked and (not linked or code == 2) then
    first_linked, whole = nil, false
  end
  return code
end
