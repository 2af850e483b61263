-- Requests as most are: records without flags, between accounts without flags, that nothing can refuse. Straight code
-- without functions, because making the rules' functions costs more than a whole transfer, and as few strings as can be,
-- because the server hashes every byte of each. Answers nothing and has written nothing when anything is out of the
-- ordinary: then the rules decide. Takes the events after `first_event` up to `last_event`, from 0; at most 2,000.
local reused = {} -- arrays that one piece after another fills anew: they need not grow again
for i = 1, 21 do
  reused[i] = {}
end
local function plain_transfers(data, first_event, last_event, prefix)
  local ZERO10, ZERO26 = ("\0"):rep(10), ("\0"):rep(26)
  local call, read, write, sub, format, floor =
    redis.call, struct.unpack, struct.pack, string.sub, string.format, math.floor
  local keys, values, debits, credits, amounts, ledgers, stamps, records, after = unpack(reused, 1, 9)
  local count = last_event - first_event
  keys[1] = prefix .. "state"
  local number_of, n, seen = {}, 0, {} -- of the accounts: id -> number, how many; ids of the transfers
  local transfer_key, account_key = prefix .. "transfer:", prefix .. "account:"
  for i = 1, count do
    local t1, t2, t3, debit, credit, amount, rest, _, timeout, ledger, code, last =
      read("<I6I6I4c16c16I6c26c28I4I4I2c10", data, (first_event + i) * 128 - 127)
    if rest ~= ZERO26 or last ~= ZERO10 or timeout > 0 or code == 0 or t3 == 0 or t3 == 4294967295 or debit == credit then
      return nil
    end
    local d, c = number_of[debit], number_of[credit]
    if not d then
      local d1, d2, d3 = read("<I6I6I4", debit)
      d, n = n + 1, n + 1
      number_of[debit], keys[n + 1] = d, account_key .. (d2 + d3 == 0 and format("%.0f", d1) or debit)
    end
    if not c then
      local c1, c2, c3 = read("<I6I6I4", credit)
      c, n = n + 1, n + 1
      number_of[credit], keys[n + 1] = c, account_key .. (c2 + c3 == 0 and format("%.0f", c1) or credit)
    end
    local id = write("<c0I6I6I4", transfer_key, t1, t2, t3)
    if seen[id] then
      return nil
    end
    seen[id], values[i * 2 - 1] = true, id
    debits[i], credits[i], amounts[i], ledgers[i] = d, c, amount, ledger * 65536
  end
-- @include "parts/plain_batch_read.lua"
-- @include "parts/plain_batch_write.lua"
end
