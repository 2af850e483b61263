-- An account's transfers by its index: one list of ordinals for its debits and one for its credits.

-- One index of an account as a function from place to ordinal, and its length: most entries are in segments, the newest
-- wait in the account.
local function index_of(key, stored, waiting)
  return function(place)
    if place >= stored then
      return (read("<I6", waiting, (place - stored) * 6 + 1))
    end
    local at = place % INDEX_SEGMENT * 6
    return (read("<I6", call("GETRANGE", key .. floor(place / INDEX_SEGMENT), at, at + 5)))
  end, stored + #waiting / 6
end

-- The first place of a list whose ordinal is not below the given one.
local function seek(at, count, ordinal)
  local from, to = 0, count
  while from < to do
    local middle = floor((from + to) / 2)
    if at(middle) < ordinal then
      from = middle + 1
    else
      to = middle
    end
  end
  return from
end

-- A list's ordinals within [first, last], one per call, upwards or downwards, then nil.
local function walk(at, count, first, last, reversed)
  local from, to = seek(at, count, first), seek(at, count, last + 1) - 1
  return function()
    if from > to then
      return nil
    elseif reversed then
      to = to - 1
      return at(to + 1)
    end
    from = from + 1
    return at(from - 1)
  end
end

local function nothing() end

-- Two walks as one, in order.
local function merge(a, b, reversed)
  local x, y = a(), b()
  return function()
    local value
    if x and (not y or (x < y) ~= reversed) then
      value, x = x, a()
    else
      value, y = y, b()
    end
    return value
  end
end

-- The records of an account's transfers which the filter picks, their ordinals, and the timestamp to go on from.
local function account_transfers(filter, history_only)
  local id, data128, data64, data32, code, reserved, min, max, limit, flags = read("<c16c16c8c4c2c58c8c8I4I4", filter)
  local key = key("account", id)
  local found = fetch({ PREFIX .. "state", key })
  local account = open_account(key, found[2])
  if not account or flags >= 8 or flags % 4 == 0 or reserved ~= ("\0"):rep(58)
    or history_only and floor(account[FLAGS] / 8) % 2 == 0 then
    return {}, {}
  end
  local stored = select(10, read(STATE_LAYOUT, found[1]))
  local first, last = window("transfers", 128, 120, stored, min, max, limit)
  if not first then
    return {}, {}
  end
  local d, c, reversed = nothing, nothing, flags >= 4
  if flags % 2 == 1 then
    local at, count = index_of(key .. ":transfers:debits:", account[DEBIT_COUNT], account[DEBITS_WAIT])
    d = walk(at, count, first, last, reversed)
  end
  if floor(flags / 2) % 2 == 1 then
    local at, count = index_of(key .. ":transfers:credits:", account[CREDIT_COUNT], account[CREDITS_WAIT])
    c = walk(at, count, first, last, reversed)
  end
  local matches = matcher(data128, data64, data32, "\0\0\0\0", code)
  local records, ordinals, looked = {}, {}, 0
  for ordinal in merge(d, c, reversed) do
    local bytes = log_bytes("transfers", 128, ordinal)
    looked = looked + 1
    if matches(bytes) then
      records[#records + 1], ordinals[#ordinals + 1] = bytes, ordinal
    end
    if #records == limit then
      break
    elseif looked == SCAN_MAX then
      return records, ordinals, beyond(bytes, reversed)
    end
  end
  return records, ordinals
end
