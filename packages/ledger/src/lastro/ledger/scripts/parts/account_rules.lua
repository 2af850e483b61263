-- The rules of accounts, spliced into create_accounts: the functions share its locals.
local all_imported = (byte(data, 119) or 0) % 32 >= 16 -- the first event decides, here or earlier in a larger request
if floor(options / 2) % 4 > 0 then
  all_imported = floor(options / 2) % 2 == 1
end
local end_low, end_high -- the slot of the last event
-- @include "parts/time.lua"
-- @include "parts/chain.lua"
-- @include "parts/imports.lua"
-- @include "parts/events.lua"
local offset, id, balances, user_data, reserved, ledger, code, flags, time_low, time_high

-- How an account whose id is taken differs from the stored one, in order, or `exists`. It may be of this request.
local function compare_account(value)
  local e_flags, e_ledger, place = unpack(open_account("", value), FLAGS, PLACE)
  local bytes = place < stored_accounts and log_bytes("accounts", 58, place) or records[place - stored_accounts + 1]
  local e_stamp, e_data, _, e_code = read("<c8c28I4I2", bytes, 17)
  if flags ~= e_flags then
    return 15
  elseif user_data ~= e_data then
    local own128, own64 = read("<c16c8", user_data)
    local e128, e64 = read("<c16c8", e_data)
    return own128 ~= e128 and 16 or own64 ~= e64 and 17 or 18
  elseif ledger ~= e_ledger then
    return 19
  elseif code ~= e_code then
    return 20
  end
  stamp = e_stamp
  return 21
end

-- The faults of an account that does not exist yet.
local function refuse_account(imported)
  if floor(flags / 2) % 4 == 3 then
    return 8
  end
  for i = 1, 4 do
    if sub(balances, i * 16 - 15, i * 16) ~= ZERO16 then
      return 8 + i
    end
  end
  if ledger == 0 then
    return 13
  elseif code == 0 then
    return 14
  elseif imported and (not_after(time_low, time_high, account_low, account_high)
      or taken("transfers", 128, 120, stored_transfers, time_low, time_high)) then
    return 26
  end
end

local function store_account(i)
  local value = write(SMALL_LAYOUT, 0, "", 0, "", 0, 0, 0, 0, flags, ledger, account_count, 0, 0, SMALL)
  forget(keys[i + 1])
  known[keys[i + 1]] = value
  values[#values + 1] = keys[i + 1]
  values[#values + 1] = value
  records[#records + 1] = id .. stamp .. user_data .. write("<I4I2", ledger, code)
  changes[#changes + 1] = "account"
  changes[#changes + 1] = sub(data, offset, offset + 119) .. stamp
  account_low, account_high = read("<I6I2", stamp)
  account_count = account_count + 1
end

local function judge_account(i)
  if reserved ~= 0 then
    return 4
  elseif flags >= 64 then
    return 5
  elseif id == ZERO16 then
    return 6
  elseif id == MAX16 then
    return 7
  elseif known[keys[i + 1]] then
    return compare_account(known[keys[i + 1]])
  end
  local imported = floor(flags / 16) % 2 == 1
  local refusal = refuse_account(imported)
  if refusal then
    return refusal
  end
  if imported then
    stamp = sub(data, offset + 120, offset + 127)
  end
  store_account(i)
  return 0
end

-- The code of event i.
local function decide(i)
  offset = i * 128 - 127
  id, balances, user_data, reserved, ledger, code, flags, time_low, time_high =
    read("<c16c64c28I4I4I2I2I6I2", data, offset)
  if not end_low then
    end_low, end_high = later(slot_low, slot_high, count - i)
  end
  return in_order(i, flags % 2 == 1, floor(flags / 16) % 2 == 1, time_low, time_high, 22, judge_account)
end
