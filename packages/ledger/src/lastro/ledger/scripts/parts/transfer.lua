-- The event at hand, taken apart.
local offset, id, debit, credit, a1, a2, a3, pending_id, user_data, timeout, ledger, code, flags, time_low, time_high
local pending, post, void, balancing_debit, balancing_credit, closing_debit, closing_credit, imported

local function read_event(i)
  offset = i * 128 - 127
  id, debit, credit, a1, a2, a3, pending_id, user_data, timeout, ledger, code, flags, time_low, time_high =
    read("<c16c16c16I6I6I4c16c28I4I4I2I2I6I2", data, offset)
  local f = floor(flags / 2)
  pending, f = f % 2 == 1, floor(f / 2)
  post, f = f % 2 == 1, floor(f / 2)
  void, f = f % 2 == 1, floor(f / 2)
  balancing_debit, f = f % 2 == 1, floor(f / 2)
  balancing_credit, f = f % 2 == 1, floor(f / 2)
  closing_debit, f = f % 2 == 1, floor(f / 2)
  closing_credit, f = f % 2 == 1, floor(f / 2)
  imported = f % 2 == 1
end

-- Whether the event's imported timestamp is not the newest of the transfers, or that of an account.
local function regresses()
  return not_after(time_low, time_high, transfer_low, transfer_high)
    or taken("accounts", 58, 16, stored_accounts, time_low, time_high)
end

-- When an account was created.
local function account_time(a)
  return read("<I6I2", log_bytes("accounts", 58, a[PLACE]), 17)
end

-- Store the created transfer; an import keeps its own timestamp.
local function keep_record(i, head, status, d, c)
  if imported then
    stamp = sub(data, offset + 120, offset + 127)
  end
  forget(keys[i + 1])
  store(i, head, status, d, c)
  transfer_low, transfer_high = read("<I6I2", stamp)
  remember(d, c)
end
