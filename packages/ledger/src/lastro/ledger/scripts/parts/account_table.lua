-- An account in memory is a table: its key, whether it changed, the entries that wait to join its two indexes (debits,
-- credits; 6 bytes each, a place in the log of transfers), four balances of three limbs, flags, ledger, its place in the
-- log of accounts, the number of entries in its indexes. Balances below 2^48 are stored as one limb.
local KEY, DIRTY, DEBITS_WAIT, CREDITS_WAIT, DEBITS, CREDITS = 1, 2, 3, 4, 5, 11
local FLAGS, LEDGER, PLACE, DEBIT_COUNT, CREDIT_COUNT = 17, 18, 19, 20, 21
local SMALL_LAYOUT, WIDE_LAYOUT = "<Bc0Bc0I6I6I6I6I2I4I6I6I6B", "<Bc0Bc0I6I6I4I6I6I4I6I6I4I6I6I4I2I4I6I6I6B"
local SMALL, WIDE = 0, 1 -- the last byte tells the layout

-- The table of a stored account; false if nothing is stored.
local function open_account(key, value)
  if not value then
    return false
  elseif byte(value, -1) == WIDE then
    return { key, false, read(WIDE_LAYOUT, value) }
  end
  local debits, credits, d1, d2, c1, c2, flags, ledger, place, debit_count, credit_count = read(SMALL_LAYOUT, value)
  return { key, false, debits, credits, d1, 0, 0, d2, 0, 0, c1, 0, 0, c2, 0, 0, flags, ledger, place, debit_count,
    credit_count }
end

-- What is stored of an account.
local function close_account(a)
  local debits, credits = a[DEBITS_WAIT], a[CREDITS_WAIT]
  if a[6] + a[7] + a[9] + a[10] + a[12] + a[13] + a[15] + a[16] == 0 then
    return write(SMALL_LAYOUT, #debits, debits, #credits, credits, a[5], a[8], a[11], a[14], a[17], a[18], a[19], a[20],
      a[21], SMALL)
  end
  a[22] = WIDE
  return write(WIDE_LAYOUT, #debits, debits, #credits, credits, unpack(a, 5, 22))
end
