-- Give coupons of one event to users, each attempt once. Decided, recorded and told to the outbox here.
--   KEYS[1] participants  hash winner -> seq|issuance_id|code|issued_ms|epoch|key|
--   KEYS[2] stock         string, coupons left
--   KEYS[3] meta          hash, the event
--   KEYS[4] events        stream; one entry per issuance, appended before anything else is written
--   KEYS[5] eligible      set of users
--   ARGV[1..] attempts    four each: user, issuance id|code, hash of its idempotency key or "", admitted
--   returns {the copy to wait for: "fsync", "replica" or "", 1 if it wrote, gen, coupons left, then two for each attempt, a word and what it is about}
--   the first word that applies:
--     "again"        the user's coupon: the one this attempt, or this user, had before
--     "key_required" a user may have several, and the attempt has no key
--     "limit"        the user has all it may have
--     "sold_out"     nothing left
--     "unknown"      there is no such event
--     "recovering"   its stock is being worked out
--     "paused" "draft" "closed" "settled"  its state
--     "early"        it has not started; ms until it does
--     "closed"       it has ended
--     "ineligible"   the user is not among those who may
--     "not_admitted" the user has no ticket of the waiting room
--     "issued"       a coupon
local participants, stock, meta, events, eligible = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local call, arguments = redis.call, ARGV
local left = tonumber(call("GET", stock) or -1)
local before, asked_again, now_ms = left, false, nil
-- stylua: ignore
local m = call("HMGET", meta, "state", "per_user", "durability", "starts_ms", "ends_ms", "epoch", "seq",
  "eligible_only", "room", "gen")
local state, per_user, starts_ms, ends_ms = m[1], tonumber(m[2]), tonumber(m[4]), tonumber(m[5])
local seq, eligible_only, waiting_room = tonumber(m[7] or 0), m[8] == "1", m[9] ~= "0"
local users = {}
for at = 1, #arguments, 4 do
  users[#users + 1] = arguments[at]
end
local records = call("HMGET", participants, unpack(users))
local mine, fresh = {}, {} -- what this call gives: winner, record, winner, record...; and winner -> record

local function had(record, user, key)
  local ordinal = 1
  while record do
    if per_user == 1 or (key ~= "" and key == string.match(record, "|([^|]*)|[^|]*$")) then
      return "again", ordinal .. "|" .. record
    end
    ordinal = ordinal + 1
    local winner = user .. "#" .. ordinal
    record = ordinal <= per_user and (fresh[winner] or call("HGET", participants, winner))
  end
  if ordinal > per_user then
    return key == "" and "key_required" or "limit", ""
  end
  return nil, nil, ordinal
end

local function refused(user, key, admitted)
  if left < 1 then
    return left == 0 and "sold_out" or state and "recovering" or "unknown"
  elseif per_user > 1 and key == "" then
    return "key_required"
  elseif state ~= "open" then
    return state
  end
  if not now_ms then
    local time = call("TIME")
    now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  if now_ms < starts_ms then
    return "early", starts_ms - now_ms
  elseif ends_ms ~= 0 and now_ms >= ends_ms then
    return "closed"
  elseif eligible_only and call("SISMEMBER", eligible, user) == 0 then
    return "ineligible"
  elseif waiting_room and admitted ~= "1" then
    return "not_admitted"
  end
end

local told, since = { m[3] ~= "memory" and m[3] or "", 0, tonumber(m[10] or 0), 0 }, nil
for n, user in ipairs(users) do
  local key, record, word, about, ordinal = arguments[4 * n - 1], records[n] or fresh[user], nil, nil, 1
  if record then
    word, about, ordinal = had(record, user, key)
    asked_again = asked_again or word == "again"
  end
  if not word then
    word, about = refused(user, key, arguments[4 * n])
  end
  if not word then
    left, seq = left - 1, seq + 1
    since = since or "|" .. string.format("%.0f", now_ms) .. "|" .. m[6] .. "|"
    record = seq .. "|" .. arguments[4 * n - 2] .. since .. key .. "|"
    local winner = ordinal == 1 and user or user .. "#" .. ordinal
    call("XADD", events, "*", "winner", winner, "record", record)
    mine[#mine + 1], mine[#mine + 2], fresh[winner] = winner, record, record
    word, about = "issued", ordinal .. "|" .. record
  end
  told[2 * n + 3], told[2 * n + 4] = word, about or ""
end
if left < before then
  call("HSET", participants, unpack(mine))
  call("DECRBY", stock, before - left)
  call("HSET", meta, "seq", seq)
  told[2] = 1
elseif asked_again and told[1] ~= "" then
  call("HINCRBY", meta, "asked", 1) -- a write of this connection: what WAIT then counts covers the earlier one
  told[2] = 1
end
told[4] = left
return told
