-- Decide a transfer that posts or reserves, and carry it out.

-- Let the pending transfer at a place expire.
local function expire_at(place)
  local low, high = expiry(slot_low, slot_high, timeout)
  due[#due + 1] = high * LIMB + low
  due[#due + 1] = write(">I2I6I6", high, low, place)
  if due_high == 0 or not_after(low, high, due_low, due_high) then
    due_low, due_high = low, high
  end
end

local function transfer_normally(i)
  local refusal = refuse_event()
  if refusal then
    return refusal
  end
  local d, c = account(debit), account(credit)
  refusal = refuse_accounts(d, c)
  if refusal then
    return refusal
  end
  if balancing_debit then
    clamp(d, DEBITS, CREDITS)
  end
  if balancing_credit then
    clamp(c, CREDITS, DEBITS)
  end
  refusal = refuse_amount(d, c)
  if refusal then
    return refusal
  end
  move(d, DEBITS)
  move(c, CREDITS)
  if closing_debit then
    close(d, true)
  end
  if closing_credit then
    close(c, true)
  end
  local head = sub(data, offset, offset + 119)
  if balancing_debit or balancing_credit then
    head = sub(head, 1, 48) .. write("<I6I6I4", a1, a2, a3) .. sub(head, 65)
  end
  keep_record(i, head, pending and PENDING or PLAIN, d, c)
  if timeout ~= 0 then
    expire_at(transfer_count - 1)
  end
  return 0
end
