-- A transfer that posts or reserves.

-- The faults of the event itself.
local function refuse_event()
  if debit == ZERO16 then
    return 8
  elseif debit == MAX16 then
    return 9
  elseif credit == ZERO16 then
    return 10
  elseif credit == MAX16 then
    return 11
  elseif debit == credit then
    return 12
  elseif pending_id ~= ZERO16 then
    return 13
  elseif timeout ~= 0 and not pending then
    return 17
  elseif not pending and (closing_debit or closing_credit) then
    return 64
  elseif ledger == 0 then
    return 19
  elseif code == 0 then
    return 20
  end
end

-- The faults of an import that depend on its accounts.
local function refuse_import(d, c)
  if regresses() then
    return 60
  elseif not_after(time_low, time_high, account_time(d)) then
    return 61
  elseif not_after(time_low, time_high, account_time(c)) then
    return 62
  end
  return timeout ~= 0 and 63
end

-- The faults of the accounts before balances count.
local function refuse_accounts(d, c)
  if not d then
    return 21
  elseif not c then
    return 22
  elseif d[LEDGER] ~= c[LEDGER] then
    return 23
  elseif ledger ~= d[LEDGER] then
    return 24
  end
  local refusal = imported and refuse_import(d, c)
  if refusal then
    return refusal
  end
  return has(d, 32) and 65 or has(c, 32) and 66
end

-- Lower the amount to what one side may still move before it reaches the other side's posted sum.
local function clamp(a, own, other)
  local u1, u2, u3 = add(a[own], a[own + 1], a[own + 2], a[own + 3], a[own + 4], a[own + 5])
  local o1, o2, o3 = a[other + 3], a[other + 4], a[other + 5]
  if not below(u1, u2, u3, o1, o2, o3) then
    a1, a2, a3 = 0, 0, 0
    return
  end
  local r1, r2, r3 = subtract(o1, o2, o3, u1, u2, u3)
  if below(r1, r2, r3, a1, a2, a3) then
    a1, a2, a3 = r1, r2, r3
  end
end

-- What the amount would make overflow on one side (1 reserved, 2 posted, 3 their sum, 4 nothing), and that sum.
local function overflow(a, side)
  local r1, r2, r3 = a[side], a[side + 1], a[side + 2]
  local p1, p2, p3, posted_over = add(a[side + 3], a[side + 4], a[side + 5], a1, a2, a3)
  local u1, u2, u3, sum_over = add(p1, p2, p3, r1, r2, r3)
  local _, _, _, reserved_over = add(r1, r2, r3, a1, a2, a3)
  return pending and reserved_over and 1 or posted_over and 2 or sum_over and 3 or 4, u1, u2, u3
end

-- The faults that depend on the amount.
local function refuse_amount(d, c)
  local d_over, u1, u2, u3 = overflow(d, DEBITS)
  local c_over, v1, v2, v3 = overflow(c, CREDITS)
  if d_over < 4 or c_over < 4 then
    return d_over <= c_over and 45 + 2 * d_over or 46 + 2 * c_over
  elseif timeout ~= 0 and select(2, expiry(slot_low, slot_high, timeout)) >= 32768 then
    return 53
  elseif has(d, 2) and below(d[14], d[15], d[16], u1, u2, u3) then
    return 54
  elseif has(c, 4) and below(c[8], c[9], c[10], v1, v2, v3) then
    return 55
  end
end

-- Put the amount on one side of an account.
local function move(a, side)
  local at = pending and side or side + 3
  touch(a)
  a[at], a[at + 1], a[at + 2] = add(a[at], a[at + 1], a[at + 2], a1, a2, a3)
end
