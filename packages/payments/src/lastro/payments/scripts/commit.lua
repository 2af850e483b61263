-- @include "money.lua"
-- @include "parts/record.lua"
-- @include "parts/final.lua"
-- Enter a payment into the books of the processor that took it, once.
--   KEYS[1] known      hash id -> record
--   KEYS[2] in_flight  set of the ids of this owner
--   KEYS[3] by_date    sorted set processor|id|cents by requested_at_ms
--   KEYS[4] totals     hash of this processor: counts and cents per second, minute, hour, day, all
--   KEYS[5] final      stream; one entry more, state done
--   ARGV[1] processor
--   ARGV[2] correlation_id
--   ARGV[3] amount_cents
--   ARGV[4] requested_at_ms  what the processor has
--   ARGV[5] fee_cents  what the processor keeps, rounded to cents
--   ARGV[6] final_max  entries that the stream keeps
--   flags  allow-oom
--   returns the first that applies:
--     "unknown"  there is no such payment (the books were purged): nothing changed
--     "again"    it is in the books: nothing changed
--     "ok"       entered
local known, in_flight, by_date, totals, final = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local processor, id, amount, at = ARGV[1], ARGV[2], cents(ARGV[3]), ARGV[4]
local fee_cents, final_max = cents(ARGV[5]), ARGV[6]
local state, _, _, _, attempts = record_of(known, id)
redis.call("SREM", in_flight, id)
if not state or state == "done" then
  return state and "again" or "unknown"
end
record_set(known, id, "done", amount, processor, at, attempts, "")
redis.call("ZADD", by_date, at, processor .. "|" .. id .. "|" .. amount)
local second = math.floor(tonumber(at) / 1000)
for level, length in pairs({ s = 1, m = 60, h = 3600, d = 86400 }) do
  local bucket = string.format("%s%d", level, math.floor(second / length))
  redis.call("HINCRBY", totals, bucket .. ":n", 1)
  redis.call("HINCRBY", totals, bucket .. ":c", amount)
end
redis.call("HINCRBY", totals, "all:n", 1)
redis.call("HINCRBY", totals, "all:c", amount)
final_add(final, final_max, { id, "done", processor, amount, fee_cents, at, "" })
return "ok"
