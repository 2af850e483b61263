-- Requests as most are: records without flags, between accounts without flags, that nothing can refuse. Straight code
-- without functions, because making the rules' functions costs more than a whole transfer, and as few strings as can be,
-- because the server hashes every byte of each. Answers nothing and has written nothing when anything is out of the
-- ordinary: then the rules decide. Takes the events after `first_event` up to `last_event`, from 0; at most 1,000.
local reused = {} -- arrays that one piece after another fills anew: they need not grow again
local function plain_transfers(data, first_event, last_event, prefix)
  local call, read, write, sub, byte, format, floor =
    redis.call, struct.unpack, struct.pack, string.sub, string.byte, string.format, math.floor
  local count = last_event - first_event
  if first_event == 0 then
    for i, numbers in ipairs({ 2, 4, 1, 1, 1, 1, 2, 1 }) do -- for each event, and two
      reused[i] = { byte(data, 1, count * numbers + 2) } -- as large as it will be, at once
    end
  end
  local keys, values, debits, credits, amounts, ledgers, stamps, after = unpack(reused)
  keys[1] = prefix .. "state"
  local number_of, n = {}, 0 -- of the accounts: key -> number, how many; 0 for the key of a transfer
  local transfer_key, account_key = prefix .. "transfer:", prefix .. "account:"
  for i = 1, count do
    -- the user data is I28, not c28: nothing reads it, and a number is not hashed
    local t1, t2, t3, d1, d2, d3, c1, c2, c3, amount, a2, a3, p1, p2, _, timeout, ledger, code, flags, time =
      read("<I6I6I4I6I6I4I6I6I4I6I8I2I8I8I28I4I4I2I2I8", data, (first_event + i) * 128 - 127)
    if a2 + a3 + p1 + p2 + timeout + flags + time > 0 or code == 0 or t3 == 0 or t3 == 4294967295 then
      return nil
    end
    local id = write("<c0I6I6I4", transfer_key, t1, t2, t3)
    local debit = d2 + d3 == 0 and account_key .. format("%.0f", d1) or write("<c0I6I6I4", account_key, d1, d2, d3)
    local credit = c2 + c3 == 0 and account_key .. format("%.0f", c1) or write("<c0I6I6I4", account_key, c1, c2, c3)
    local d, c = number_of[debit], number_of[credit]
    if not d then
      d, n = n + 1, n + 1
      number_of[debit], keys[n + 1] = d, debit
    end
    if not c then
      c, n = n + 1, n + 1
      number_of[credit], keys[n + 1] = c, credit
    end
    if number_of[id] or debit == credit then
      return nil
    end
    number_of[id], values[i * 2 - 1] = 0, id
    debits[i], credits[i], amounts[i], ledgers[i] = d, c, amount, ledger * 65536
  end
-- @include "parts/plain_batch_read.lua"
-- @include "parts/plain_batch_write.lua"
end
