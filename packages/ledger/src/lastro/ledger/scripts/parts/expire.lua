-- Release pending transfers whose time is over, oldest first, each with a timestamp of its own.
local EXPIRE_MAX = 1000 -- released in one call

local function expire_due()
  local members = call("ZRANGE", PREFIX .. "expiries", 0, EXPIRE_MAX)
  local until_low, until_high, released = slot_low, slot_high, 0
  due_low, due_high = 0, 0
  for i = 1, #members do
    local high, low, place = read(">I2I6I6", members[i])
    if i > EXPIRE_MAX or not not_after(low, high, until_low, until_high) then
      due_low, due_high = low, high
      break
    end
    local bytes = record(place)
    local id, debit, credit, a1, a2, a3 = read("<c16c16c16I6I6I4", bytes)
    local closes = byte(bytes, 119)
    local d, c = account(debit), account(credit)
    next_slot()
    settle(d, DEBITS, a1, a2, a3, 0, 0, 0)
    settle(c, CREDITS, a1, a2, a3, 0, 0, 0)
    reopen(d, c, closes)
    learn(key("transfer", id), place * 8 + EXPIRED)
    undue[#undue + 1] = members[i]
    announce("expired", bytes, "", d, c)
    changes[#changes] = changes[#changes] .. stamp
    released = released + 1
  end
  return released
end
