-- Linked chains: all or nothing. What a chain changes is remembered until it ends.
local LISTS = { touched, values, records, changes, rows, due, undue }
local whole = false -- a chain is open and nothing of it failed yet
local saved_accounts, saved_keys, marks

local function start_chain()
  whole, saved_accounts, saved_keys = true, {}, {}
  marks = { account_low, account_high, transfer_low, transfer_high, due_low, due_high, account_count, transfer_count }
  for l = 1, #LISTS do
    marks[8 + l] = #LISTS[l]
  end
end

-- Tables as they were, lists as long as they were.
local function undo_chain()
  account_low, account_high, transfer_low, transfer_high, due_low, due_high, account_count, transfer_count =
    unpack(marks, 1, 8)
  for l = 1, #LISTS do
    local list = LISTS[l]
    for i = #list, marks[8 + l] + 1, -1 do
      list[i] = nil
    end
  end
  for a, saved in pairs(saved_accounts) do
    for i = 2, #saved + 1 do
      a[i] = saved[i - 1]
    end
  end
  for key, old in pairs(saved_keys) do
    known[key] = old
  end
  whole = false
end

-- Call before changing an account.
local function touch(a)
  if whole and not saved_accounts[a] then
    saved_accounts[a] = { unpack(a, 2, CREDIT_COUNT) }
  end
  if not a[DIRTY] then
    a[DIRTY] = true
    touched[#touched + 1] = a
  end
end

-- Call before changing what is known of a key.
local function forget(key)
  if whole and saved_keys[key] == nil then
    saved_keys[key] = known[key]
  end
end
