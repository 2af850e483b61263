-- A transfer whose id is taken: how it differs from the stored one, in order, or `exists`.

local function compare_transfer(place)
  local bytes = record(place)
  local e_debit, e_credit, e1, e2, e3, e_pending, e_data, e_timeout, e_ledger, e_code, e_flags =
    read("<c16c16I6I6I4c16c28I4I4I2I2", bytes, 17)
  local settling = post or void
  local same_amount = a1 == e1 and a2 == e2 and a3 == e3
  local expected = user_data
  if flags ~= e_flags then
    return 36
  elseif pending_id ~= e_pending then
    return 40
  elseif timeout ~= e_timeout then
    return 44
  elseif debit ~= e_debit and not (settling and debit == ZERO16) then
    return 37
  elseif credit ~= e_credit and not (settling and credit == ZERO16) then
    return 38
  end
  if settling then
    local value = status_of(key("transfer", pending_id))
    local p1, p2, p3, _, p_data = read("<I6I6I4c16c28", record((value - value % 8) / 8), 49)
    if means_all() then
      same_amount = e1 == p1 and e2 == p2 and e3 == p3
    end
    expected = inherit(user_data, p_data)
  elseif balancing_debit or balancing_credit then
    same_amount = not below(a1, a2, a3, e1, e2, e3)
  end
  if not same_amount then
    return 39
  end
  if expected ~= e_data then
    local x128, x64 = read("<c16c8", expected)
    local e128, e64 = read("<c16c8", e_data)
    return x128 ~= e128 and 41 or x64 ~= e64 and 42 or 43
  elseif ledger ~= e_ledger and not (settling and ledger == 0) then
    return 67
  elseif code ~= e_code and not (settling and code == 0) then
    return 45
  end
  stamp = sub(bytes, 121)
  return 46
end
