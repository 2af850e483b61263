-- Give coupons of one event to users, each attempt once. Decided, recorded and told to the outbox here.
--   KEYS[1] participants  hash winner -> seq|issuance_id|code|issued_ms|epoch|key|payload
--   KEYS[2] stock         string, coupons left
--   KEYS[3] meta          hash, the event
--   KEYS[4] events        stream; one entry per issuance, appended before anything else is written
--   KEYS[5] eligible      set of users
--   ARGV[1..] attempts    six each: user, issuance id, code, hash of its idempotency key or "", of its body, admitted
--   returns {what to wait for, 1 if it wrote, gen, coupons left, then two for each attempt, a word and what it is about}
--   the first word that applies:
--     "again"        the user's coupon: the one this attempt, or this user, had before
--     "key_reused"   the attempt of this key had another body
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
local left = tonumber(redis.call("GET", stock) or -1)
local before, asked_again, now_ms = left, false, nil
-- stylua: ignore
local m = redis.call("HMGET", meta, "state", "per_user", "waits", "starts_ms", "ends_ms", "epoch", "seq",
  "eligible_only", "room", "gen")
local state, per_user, epoch, seq = m[1], tonumber(m[2]), m[6], tonumber(m[7] or 0)

local function had(user, key, payload)
  local record = redis.call("HGET", participants, user)
  if not record then
    return nil, nil, 1
  end
  local ordinal = 1
  while record do
    local its_key, its_payload = string.match(record, "|([^|]*)|([^|]*)$")
    local same = key ~= "" and its_key == key
    if same and its_payload ~= payload then
      return "key_reused", ""
    elseif same or per_user == 1 then
      return "again", ordinal .. "|" .. record
    end
    ordinal = ordinal + 1
    record = ordinal <= per_user and redis.call("HGET", participants, user .. "#" .. ordinal)
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
    local time = redis.call("TIME")
    now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
  if now_ms < tonumber(m[4]) then
    return "early", tonumber(m[4]) - now_ms
  elseif m[5] ~= "0" and now_ms >= tonumber(m[5]) then
    return "closed"
  elseif m[8] == "1" and redis.call("SISMEMBER", eligible, user) == 0 then
    return "ineligible"
  elseif m[9] ~= "0" and admitted ~= "1" then
    return "not_admitted"
  end
end

local told = { m[3] or "", 0, tonumber(m[10] or 0), 0 }
for at = 1, #ARGV, 6 do
  local user, key, payload = ARGV[at], ARGV[at + 3], ARGV[at + 4]
  local word, about, ordinal = had(user, key, payload)
  asked_again = asked_again or word == "again"
  if not word then
    word, about = refused(user, key, ARGV[at + 5])
  end
  if not word then
    left, seq = left - 1, seq + 1
    local record = seq .. "|" .. ARGV[at + 1] .. "|" .. ARGV[at + 2] .. "|" .. string.format("%.0f", now_ms) .. "|"
    record = record .. epoch .. "|" .. key .. "|" .. payload
    local winner = ordinal == 1 and user or user .. "#" .. ordinal
    redis.call("XADD", events, "*", "winner", winner, "record", record)
    redis.call("HSET", participants, winner, record)
    word, about = "issued", ordinal .. "|" .. record
  end
  told[#told + 1], told[#told + 2] = word, about or ""
end
if left < before then
  redis.call("DECRBY", stock, before - left)
  redis.call("HSET", meta, "seq", seq)
  told[2] = 1
elseif asked_again and told[1] ~= "" then
  redis.call("HINCRBY", meta, "asked", 1) -- a write of this connection: what WAIT then counts covers the earlier one
  told[2] = 1
end
told[4] = left
return told
