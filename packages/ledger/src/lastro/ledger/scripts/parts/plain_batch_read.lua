-- Read what a plain request names, and the clock; spliced into plain_transfers.
local found = call("MGET", unpack(keys, 1, n + 1))
if not found[1] then
  return nil
end
-- of each account: entries that wait to join its indexes, balances, 65,536 times its ledger (below that are its flags:
-- with any it is of no transfer's ledger), place, lengths of the indexes
local debits_wait, credits_wait, reserved_debits, posted_debits, reserved_credits, posted_credits, ledger_of, place,
  debit_count, credit_count, new_debit, new_credit = unpack(reused, 10, 21)
for j = 1, n do
  local value = found[j + 1]
  new_debit[j], new_credit[j] = false, false
  if not value or value:byte(-1) > 0 then -- the last byte tells whether all balances are below 2^48
    return nil
  end
  debits_wait[j], credits_wait[j], reserved_debits[j], posted_debits[j], reserved_credits[j], posted_credits[j],
    ledger_of[j], place[j], debit_count[j], credit_count[j] = read("<Bc0Bc0I6I6I6I6I6I6I6I6", value)
end
local last_low, last_high, account_low, account_high, _, _, due_low, due_high, accounts, first, keep =
  read("<I6I2I6I2I6I2I6I2I6I6I4", found[1])
local low, high = last_low, last_high
if first_event == 0 then -- else the slots of the request go on
  local time = call("TIME")
  local micros = time[1] * 1000000 + time[2]
  local upper = floor(micros / 16777216) * 1000
  low = upper % 16777216 * 16777216 + micros % 16777216 * 1000
  high = floor(upper / 16777216) + floor(low / 281474976710656)
  low = low % 281474976710656
  if high < last_high or high == last_high and low <= last_low then
    return nil
  end
end
if low + count >= 281474976710656 or due_high > 0 and (due_high < high or due_high == high and due_low <= low + count) then
  return nil
end
