-- Add the amounts up, and write everything; spliced into plain_transfers.
local full = {}
for i = 1, count do
  local d, c, number = debits[i], credits[i], first + i - 1
  local debit_sum, credit_sum = posted_debits[d] + amounts[i], posted_credits[c] + amounts[i]
  if ledger_of[d] ~= ledgers[i] or ledger_of[c] ~= ledgers[i]
    or debit_sum >= 281474976710656 or credit_sum >= 281474976710656 then
    return nil
  end
  posted_debits[d], posted_credits[c] = debit_sum, credit_sum
  -- the newest entry of an index is kept as a number until another comes: most accounts have one in a request
  if new_debit[d] then
    debits_wait[d] = write("<c0I6", debits_wait[d], new_debit[d])
  end
  new_debit[d] = number
  if #debits_wait[d] == 42 then
    full[#full + 1] = keys[d + 1] .. ":transfers:debits:" .. floor(debit_count[d] / 1000000)
    full[#full + 1] = write("<c0I6", debits_wait[d], number)
    debits_wait[d], new_debit[d], debit_count[d] = "", false, debit_count[d] + 8
  end
  if new_credit[c] then
    credits_wait[c] = write("<c0I6", credits_wait[c], new_credit[c])
  end
  new_credit[c] = number
  if #credits_wait[c] == 42 then
    full[#full + 1] = keys[c + 1] .. ":transfers:credits:" .. floor(credit_count[c] / 1000000)
    full[#full + 1] = write("<c0I6", credits_wait[c], number)
    credits_wait[c], new_credit[c], credit_count[c] = "", false, credit_count[c] + 8
  end
  local stamp, head = write("<I6I2", low + i, high), sub(data, (first_event + i) * 128 - 127, (first_event + i) * 128 - 8)
  stamps[i], records[i * 2 - 1], records[i * 2], values[i * 2] = stamp, head, stamp, format("%d", number * 8)
  after[i] = write("<c0c0I6I6I6I6I6I6I6I6", head, stamp, reserved_debits[d], debit_sum, reserved_credits[d], posted_credits[d],
    reserved_debits[c], posted_debits[c], reserved_credits[c], credit_sum)
end
if call("MSETNX", unpack(values, 1, count * 2)) == 0 then -- an id is taken: nothing was written
  return nil
end
local at = 0
for j = 1, n do
  local debit, credit, debit_wait, credit_wait = new_debit[j], new_credit[j], debits_wait[j], credits_wait[j]
  if debit then
    debit_wait = write("<c0I6", debit_wait, debit)
  end
  if credit then
    credit_wait = write("<c0I6", credit_wait, credit)
  end
  values[at + 1], values[at + 2] = keys[j + 1], write("<Bc0Bc0I6I6I6I6I6I6I6I6B", #debit_wait, debit_wait, #credit_wait,
    credit_wait, reserved_debits[j], posted_debits[j], reserved_credits[j], posted_credits[j], ledger_of[j], place[j],
    debit_count[j], credit_count[j], 0)
  at = at + 2
end
values[at + 1], values[at + 2] = keys[1], write("<I6I2I6I2I6I2I6I2I6I6I4", low + count, high, account_low, account_high,
  low + count, high, due_low, due_high, accounts, first + count, keep)
call("MSET", unpack(values, 1, at + 2))
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
  call("SETRANGE", log, slot * 128, table.concat(records, "", done * 2 + 1, (done + fits) * 2))
  done = done + fits
end
local stream = prefix .. "changes"
for i = 1, count - 1 do
  call("XADD", stream, "*", "transfer", after[i])
end
call("XADD", stream, "MAXLEN", "~", keep, "*", "transfer", after[count])
return table.concat(stamps, "\0\0\0\0\0\0\0\0", 1, count) .. "\0\0\0\0\0\0\0\0"
