-- Admit a batch of payments: each once, its funds held, the receiver asked, its deadline set.
--   KEYS[1] payments      stream
--   KEYS[2] accounts      hash, participant -> centavos free; "<participant>:held", ":off" beside
--   KEYS[3] deadlines     zset, ids of one batch -> ms at which they expire
--   KEYS[4] counters      hash, outcome -> count
--   KEYS[5] backends      set, the outboxes there are
--   KEYS[6..] ks          records (hashes), outboxes (streams), movements (stream); an item names the first two by position
--   ARGV[1] group
--   ARGV[2] minutes       how many of ks are records
--   ARGV[3..] items       eleven each: entry_id, id, payer, payee, cents, code ("" or why it is refused), limit_ms,
--                         records, outbox of the payer, outbox of the payee, body
--   returns nothing when a minute is not open (nothing changed), else one word an item, the first that applies:
--     "repeat"    this payment was here before; acknowledged
--     "conflict"  its id was here with another amount, payer or receiver; nothing changed, not acknowledged
--     "rejected"  by RC09 (nobody is told: there is no such payer), code, RC10, DS27, AB03 (too old when it got here)
--                 or AM04; the payer is told
--     "accepted"  its funds are held and the receiver is asked
--   writes {message, id, status, reason, amount_cents, body} to outboxes, {held} to movements
-- @include "parts/batch.lua"
-- @include "parts/notice.lua"
-- @include "parts/record.lua"
-- @include "parts/moves.lua"
if not ready(6, ARGV[2] + 0) then
  return {}
end
local now = now_ms()
local free, off = {}, {}
local function unknown(ispb)
  if free[ispb] == nil then
    local found = call("HMGET", KEYS[2], ispb, ispb .. ":off")
    free[ispb], off[ispb] = tonumber(found[1]) or false, found[2]
  end
  return not free[ispb]
end
local function refused(payer, payee, cents, code, age, limit)
  if unknown(payer) then
    return "RC09"
  elseif code ~= "" then
    return code
  elseif unknown(payee) then
    return "RC10"
  elseif off[payer] or off[payee] then
    return "DS27"
  elseif age > limit then
    return "AB03"
  elseif free[payer] < cents then
    return "AM04"
  end
  return false
end
local outcomes, done, counts, moved, wheel = {}, {}, {}, {}, {}
for at = 3, #ARGV, 11 do
  local entry, id, payer, payee, cents = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local limit, records = ARGV[at + 6] + 0, KEYS[5 + ARGV[at + 7]]
  local received = entry:match("^%d+")
  local age = math.max(0, now - received)
  local code = refused(payer, payee, cents + 0, ARGV[at + 5], age, limit)
  local outcome = code and "rejected" or "accepted"
  local record = (code and "R " or "A ") .. cents .. " " .. payer .. " " .. payee .. " " .. received .. " " .. whole(age)
    .. " " .. whole(age + limit) .. (code and " " .. whole(age) .. " " .. code .. " spi" or " 0 - -")
  if call("HSETNX", records, id, record) == 0 then
    local _, before, who, other = split(call("HGET", records, id))
    who = who == "" and id:sub(2, 9) or who
    outcome = before == cents and who == payer and other == payee and "repeat" or "conflict"
  elseif code then
    if code ~= "RC09" then
      tell(KEYS[5 + ARGV[at + 8]], "pacs.002", id, "RJCT", code, cents, "")
    end
    add(counts, "rejected:" .. code, 1)
  else
    free[payer] = free[payer] - cents
    add(moved, payer, -cents)
    add(moved, payer .. ":held", cents)
    wheel[limit] = wheel[limit] or {}
    table.insert(wheel[limit], id)
    move("held", cents, payer, payee, id)
    tell(KEYS[5 + ARGV[at + 9]], "pacs.008", id, "", "", cents, ARGV[at + 10])
  end
  outcomes[#outcomes + 1] = outcome
  add(counts, outcome, 1)
  if outcome ~= "conflict" then
    done[#done + 1] = entry
  end
end
post(KEYS[2], moved)
post(KEYS[4], counts)
for limit, ids in pairs(wheel) do
  call("ZADD", KEYS[3], whole(now + limit), table.concat(ids, " "))
end
remember_told(KEYS[5])
publish_moves(KEYS[#KEYS])
acknowledge(KEYS[1], ARGV[1], done)
return outcomes
