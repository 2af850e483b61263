-- Add the amounts up, and write everything; spliced into plain_transfers. An account is taken apart and put together for
-- each of its transfers: most have one in a piece, and arrays of what is in them cost more than the others' second time.
local full = {} -- the indexes that grow, and by what
for i = 1, count do
  local d, c, number, amount, ledger = debits[i] + 1, credits[i] + 1, first + i - 1, amounts[i], ledgers[i]
  -- of each account: entries that wait to join its indexes, balances, 65,536 times its ledger (below that are its flags:
  -- with any it is of no transfer's ledger), place, lengths of the indexes
  local d_debits, d_credits, d_dp, d_ds, d_cp, d_cs, d_ledger, d_place, d_count, d_count2 =
    read("<Bc0Bc0I6I6I6I6I6I6I6I6", found[d])
  local c_debits, c_credits, c_dp, c_ds, c_cp, c_cs, c_ledger, c_place, c_count2, c_count =
    read("<Bc0Bc0I6I6I6I6I6I6I6I6", found[c])
  d_ds, c_cs = d_ds + amount, c_cs + amount
  if d_ledger ~= ledger or c_ledger ~= ledger or d_ds >= 281474976710656 or c_cs >= 281474976710656 then
    return nil
  end
  if #d_debits == 42 then
    full[#full + 1] = keys[d] .. ":transfers:debits:" .. floor(d_count / 1000000)
    full[#full + 1] = write("<c0I6", d_debits, number)
    found[d] = write("<BBc0I6I6I6I6I6I6I6I6B", 0, #d_credits, d_credits, d_dp, d_ds, d_cp, d_cs, ledger, d_place,
      d_count + 8, d_count2, 0)
  else
    found[d] = write("<Bc0I6Bc0I6I6I6I6I6I6I6I6B", #d_debits + 6, d_debits, number, #d_credits, d_credits, d_dp, d_ds,
      d_cp, d_cs, ledger, d_place, d_count, d_count2, 0)
  end
  if #c_credits == 42 then
    full[#full + 1] = keys[c] .. ":transfers:credits:" .. floor(c_count / 1000000)
    full[#full + 1] = write("<c0I6", c_credits, number)
    found[c] = write("<Bc0BI6I6I6I6I6I6I6I6B", #c_debits, c_debits, 0, c_dp, c_ds, c_cp, c_cs, ledger, c_place,
      c_count2, c_count + 8, 0)
  else
    found[c] = write("<Bc0Bc0I6I6I6I6I6I6I6I6I6B", #c_debits, c_debits, #c_credits + 6, c_credits, number, c_dp, c_ds,
      c_cp, c_cs, ledger, c_place, c_count2, c_count, 0)
  end
  local at = (first_event + i) * 128
  values[i * 2], stamps[i * 2 - 1], stamps[i * 2] = format("%d", number * 8), low + i, high
  after[i] = write("<c0I6I2I6I6I6I6I6I6I6I6", sub(data, at - 127, at - 8), low + i, high, d_dp, d_ds, d_cp, d_cs,
    c_dp, c_ds, c_cp, c_cs)
end
if call("MSETNX", unpack(values, 1, count * 2)) == 0 then -- an id is taken: nothing was written
  return nil
end
found[1] = write("<I6I2I6I2I6I2I6I2I6I6I4", low + count, high, account_low, account_high, low + count, high, due_low,
  due_high, accounts, first + count, keep)
for j = 1, n + 1 do
  values[j * 2 - 1], values[j * 2] = keys[j], found[j]
end
call("MSET", unpack(values, 1, n * 2 + 2))
for i = 1, #full, 2 do
  call("APPEND", full[i], full[i + 1])
end
local done = 0
while done < count do
  local slot, log = (first + done) % 1023, prefix .. "log:transfers:" .. floor((first + done) / 1023)
  local fits = math.min(1023 - slot, count - done)
  if slot == 0 then
    call("SETRANGE", log, 1023 * 128 - 1, "\0") -- one exact allocation, written in place from here on
  end
  call("SETRANGE", log, slot * 128, write(("c128"):rep(fits), unpack(after, done + 1, done + fits)))
  done = done + fits
end
local stream = prefix .. "changes"
for i = 1, count - 1 do
  call("XADD", stream, "*", "transfer", after[i])
end
call("XADD", stream, "MAXLEN", "~", keep, "*", "transfer", after[count])
return write("<" .. ("I6I10"):rep(count), unpack(stamps, 1, count * 2)) -- behind each timestamp eight zeros
