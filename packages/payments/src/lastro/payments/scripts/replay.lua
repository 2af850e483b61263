-- @include "parts/record.lua"
-- Queue a dead payment again.
--   KEYS[1] known  hash id -> record
--   KEYS[2] queue  list of ids
--   KEYS[3] dead   sorted set of ids by when
--   ARGV[1] correlation_id
--   returns the state it was in: only "dead" was changed; "" when the id is unknown
local known, queue, id = KEYS[1], KEYS[2], ARGV[1]
local state, amount, _, _, attempts, reference = record_of(known, id)
if state == "dead" then
  redis.call("HSET", known, id, record_text("queued", amount, "", record_now(), attempts, reference, ""))
  redis.call("LPUSH", queue, id)
  redis.call("ZREM", KEYS[3], id)
end
return state or ""
