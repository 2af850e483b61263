-- Note a change for the stream: a transfer's record in two parts, then the four balances of its debit account and of its
-- credit account, right after it, in 6 bytes each if they fit, else in 16.
local function announce(kind, head, tail, d, c)
  local n = #changes
  changes[n + 1] = kind
  if d[6] + d[7] + d[9] + d[10] + d[12] + d[13] + d[15] + d[16]
    + c[6] + c[7] + c[9] + c[10] + c[12] + c[13] + c[15] + c[16] == 0 then
    changes[n + 2] = write("<c0c0I6I6I6I6I6I6I6I6", head, tail, d[5], d[8], d[11], d[14], c[5], c[8], c[11], c[14])
    return
  end
  changes[n + 2] = head .. tail .. write(BALANCES_LAYOUT, unpack(d, 5, 16)) .. write(BALANCES_LAYOUT, unpack(c, 5, 16))
end

-- Let the entries that wait join one index of an account; they do so eight at a time.
local function join(a, counter, list, entries)
  rows[#rows + 1] = { "APPEND", a[KEY] .. list .. floor(a[counter] / INDEX_SEGMENT), entries }
  a[counter] = a[counter] + 8
  return ""
end

-- Keep a transfer whose accounts were changed already. Its record is `head` and then its timestamp.
local function store(i, head, status, d, c)
  local entry = write("<I6", transfer_count)
  local said = transfer_count * 8 + status
  known[keys[i + 1]] = said
  local n, r = #values, (transfer_count - stored_transfers) * 2
  values[n + 1], values[n + 2] = keys[i + 1], format("%d", said)
  records[r + 1], records[r + 2] = head, stamp
  local debits_wait, credits_wait = d[DEBITS_WAIT] .. entry, c[CREDITS_WAIT] .. entry
  d[DEBITS_WAIT] = #debits_wait < 48 and debits_wait or join(d, DEBIT_COUNT, ":transfers:debits:", debits_wait)
  c[CREDITS_WAIT] = #credits_wait < 48 and credits_wait or join(c, CREDIT_COUNT, ":transfers:credits:", credits_wait)
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
