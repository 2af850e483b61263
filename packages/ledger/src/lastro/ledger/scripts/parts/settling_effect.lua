-- Decide a transfer that posts or voids a pending one, and carry it out.

-- When the pending transfer of a record expires; nothing without a timeout.
local function expiry_of(bytes)
  local seconds = read("<I4", bytes, 109)
  if seconds > 0 then
    local low, high = read("<I6I2", bytes, 121)
    return expiry(low, high, seconds)
  end
end

local function settle_pending(i)
  local refusal = refuse_settling()
  if refusal then
    return refusal
  end
  local place, status = find_pending()
  if not place then
    return status
  end
  local bytes = record(place)
  local p_debit, p_credit, r1, r2, r3, _, p_data, _, p_ledger, p_code = read("<c16c16I6I6I4c16c28I4I4I2", bytes, 17)
  if means_all() then
    a1, a2, a3 = r1, r2, r3
  end
  refusal = refuse_difference(p_debit, p_credit, p_ledger, p_code, r1, r2, r3)
  if refusal then
    return refusal
  end
  local d, c = account(p_debit), account(p_credit)
  local low, high = expiry_of(bytes)
  refusal = refuse_state(d, c, status, low, high)
  if refusal then
    return refusal
  end
  local p1, p2, p3 = 0, 0, 0
  if post then
    p1, p2, p3 = a1, a2, a3
  end
  settle(d, DEBITS, r1, r2, r3, p1, p2, p3)
  settle(c, CREDITS, r1, r2, r3, p1, p2, p3)
  if void then
    reopen(d, c, byte(bytes, 119))
  end
  if high then
    undue[#undue + 1] = write(">I2I6I6", high, low, place)
  end
  learn(key("transfer", pending_id), place * 8 + (post and POSTED or VOIDED))
  keep_record(i, id .. p_debit .. p_credit .. write("<I6I6I4", a1, a2, a3) .. pending_id .. inherit(user_data, p_data)
    .. write("<I4I4I2I2", 0, p_ledger, p_code, flags), PLAIN, d, c)
  return 0
end
