-- A transfer that posts or voids a pending one.

-- The faults of the event itself.
local function refuse_settling()
  if post and void or pending or balancing_debit or balancing_credit or closing_debit or closing_credit then
    return 7
  elseif pending_id == ZERO16 then
    return 14
  elseif pending_id == MAX16 then
    return 15
  elseif pending_id == id then
    return 16
  elseif timeout ~= 0 then
    return 17
  end
end

-- The pending transfer's place and status, or nil and why it cannot be settled.
local function find_pending()
  local value = status_of(key("transfer", pending_id))
  if not value or value == BURNT then
    return nil, 25
  end
  local status = value % 8
  if status == PLAIN then
    return nil, 26
  end
  return (value - status) / 8, status
end

-- "All of it" is a void's 0 and a post's 2^128-1.
local function means_all()
  if void then
    return a1 == 0 and a2 == 0 and a3 == 0
  end
  return a3 == LIMB_TOP - 1 and a2 == LIMB - 1 and a1 == LIMB - 1
end

-- The faults that come from comparing with the pending transfer, whose amount is r.
local function refuse_difference(p_debit, p_credit, p_ledger, p_code, r1, r2, r3)
  if debit ~= ZERO16 and debit ~= p_debit then
    return 27
  elseif credit ~= ZERO16 and credit ~= p_credit then
    return 28
  elseif ledger ~= 0 and ledger ~= p_ledger then
    return 29
  elseif code ~= 0 and code ~= p_code then
    return 30
  elseif below(r1, r2, r3, a1, a2, a3) then
    return 31
  elseif void and below(a1, a2, a3, r1, r2, r3) then
    return 32
  end
end

-- The faults of time and of closed accounts; the expiry is nil without a timeout.
local function refuse_state(d, c, status, low, high)
  if status ~= PENDING then
    return status == POSTED and 33 or status == VOIDED and 34 or 35
  elseif high and not_after(low, high, slot_low, slot_high) then
    return 35
  elseif imported and regresses() then
    return 60
  elseif crossing then -- its other side may be posted already: what was reserved before an account closed is honoured
    return nil
  elseif post and has(d, 32) then
    return 65
  elseif post and has(c, 32) then
    return 66
  end
end

-- Each part of user_data as sent, or the pending transfer's if zero.
local function inherit(own, theirs)
  if own == theirs then
    return own
  end
  local own128, own64, own32 = read("<c16c8c4", own)
  local their128, their64, their32 = read("<c16c8c4", theirs)
  return (own128 == ZERO16 and their128 or own128) .. (own64 == ZERO8 and their64 or own64)
    .. (own32 == "\0\0\0\0" and their32 or own32)
end

-- Open again what a pending transfer's closing flags had closed.
local function reopen(d, c, closes)
  if floor(closes / 64) % 2 == 1 then
    close(d, false)
  end
  if closes >= 128 then
    close(c, false)
  end
end
