-- Note a change for the stream: a transfer's record in two parts, then the sides which it changes, right after it:
-- the debits of one account and the credits of the other.
local function announce(kind, head, tail, d, c)
  local n = #changes
  changes[n + 1] = kind
  changes[n + 2] = write("<c0c0I6I6I4I6I6I4I6I6I4I6I6I4", head, tail, d[5], d[6], d[7], d[8], d[9], d[10],
    c[11], c[12], c[13], c[14], c[15], c[16])
end

-- Put a transfer into one index of an account: entries wait in the account until eight can join it together.
local function index(a, wait, counter, list, entry)
  local entries = a[wait] .. entry
  if #entries == 48 then
    rows[#rows + 1] = { "APPEND", a[KEY] .. list .. floor(a[counter] / INDEX_SEGMENT), entries }
    a[counter], entries = a[counter] + 8, ""
  end
  a[wait] = entries
end

-- Keep a transfer whose accounts were changed already. Its record is `head` and then its timestamp.
local function store(i, head, status, d, c)
  local value = transfer_count * 8 + status
  known[keys[i + 1]] = value
  local n, r = #values, (transfer_count - stored_transfers) * 2
  values[n + 1], values[n + 2] = keys[i + 1], value
  records[r + 1], records[r + 2] = head, stamp
  local entry = write("<I6", transfer_count)
  index(d, DEBITS_WAIT, DEBIT_COUNT, ":transfers:debits:", entry)
  index(c, CREDITS_WAIT, CREDIT_COUNT, ":transfers:credits:", entry)
  announce("transfer", head, stamp, d, c)
  transfer_count = transfer_count + 1
  if after then
    after[i] = write(BALANCES_LAYOUT, unpack(d, 5, 16)) .. write(BALANCES_LAYOUT, unpack(c, 5, 16))
  end
end

-- Add an amount to the three limbs at a place of an account's table; the sum stays below 2^128.
local function post(a, at, a1, a2, a3)
  a1, a2, a3 = a[at] + a1, a[at + 1] + a2, a[at + 2] + a3
  if a1 >= LIMB then
    a1, a2 = a1 - LIMB, a2 + 1
  end
  if a2 >= LIMB then
    a2, a3 = a2 - LIMB, a3 + 1
  end
  a[at], a[at + 1], a[at + 2] = a1, a2, a3
  if not a[DIRTY] then
    a[DIRTY] = true
    touched[#touched + 1] = a
  end
end
