-- @include "money.lua"
-- @include "parts/record.lua"
-- @include "parts/final.lua"
-- Enter payments into the books of the processors that took them, each once.
--   KEYS[1] known            hash id -> record
--   KEYS[2] in_flight        set of the ids of this owner
--   KEYS[3] by_date          sorted set processor|id|cents by requested_at_ms
--   KEYS[4] final            stream; one entry more for each, state done
--   KEYS[5] totals_default   hash: counts and cents per second, minute, hour, day, all
--   KEYS[6] totals_fallback  likewise
--   KEYS[7] dead             sorted set of ids by when; a buried one that was charged after all leaves it
--   KEYS[8] doubled          hash id -> processor|amount_cents|requested_at_ms, of those that the books have at another one
--   ARGV[1] final_max        entries that the stream keeps
--   ARGV[2..] items          processor, correlation_id, amount_cents, requested_at_ms, fee_cents of each; at most 100
--   flags  allow-oom
--   returns how many were entered: not those that the books have, nor those unknown since a purge
local known, in_flight, by_date, final, final_max = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local totals = { default = KEYS[5], fallback = KEYS[6] }
local seconds = { default = {}, fallback = {} } -- of each processor: second -> count, cents
local LEVELS = { s = 1, m = 60, h = 3600, d = 86400 }
local ids, records, members = {}, {}, {}
for at = 2, #ARGV, 5 do -- before the first write
  assert(totals[ARGV[at]] and cents(ARGV[at + 2]) and cents(ARGV[at + 4]))
  ids[#ids + 1] = ARGV[at + 1]
end

local function count_in(sums, name, n, amount)
  local sum = sums[name]
  if sum then
    sum[1], sum[2] = sum[1] + n, sum[2] + amount
  else
    sums[name] = { n, amount }
  end
end

local known_as = redis.call("HMGET", known, unpack(ids))
local entered, done = 0, {}
for i, id in ipairs(ids) do
  local at = i * 5 - 3
  local processor, amount, requested_at, fee = ARGV[at], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local state, _, where, _, attempts, reference = record_parts(known_as[i])
  local charged_by = done[id] or state == "done" and where
  if charged_by and charged_by ~= processor then -- twice: nobody can undo that here, and somebody must hear of it
    redis.call("HSET", KEYS[8], id, processor .. "|" .. amount .. "|" .. requested_at)
  elseif state and not charged_by then
    done[id] = processor
    if state == "dead" then
      redis.call("ZREM", KEYS[7], id)
    end
    entered = entered + 1
    records[entered * 2 - 1] = id
    records[entered * 2] = record_text("done", amount, processor, requested_at, attempts, reference, fee)
    members[entered * 2 - 1] = requested_at
    members[entered * 2] = processor .. "|" .. id .. "|" .. amount
    final_add(final, final_max, { id, "done", processor, amount, fee, requested_at, reference, "" })
    count_in(seconds[processor], math.floor(tonumber(requested_at) / 1000), 1, tonumber(amount))
  end
end
redis.call("SREM", in_flight, unpack(ids))
if entered > 0 then
  redis.call("HSET", known, unpack(records))
  redis.call("ZADD", by_date, unpack(members))
end
for processor, counted in pairs(seconds) do
  local buckets = {}
  for second, sum in pairs(counted) do
    for level, length in pairs(LEVELS) do
      count_in(buckets, level .. string.format("%d", math.floor(second / length)), sum[1], sum[2])
    end
    count_in(buckets, "all", sum[1], sum[2])
  end
  for bucket, sum in pairs(buckets) do
    redis.call("HINCRBY", totals[processor], bucket .. ":n", sum[1])
    redis.call("HINCRBY", totals[processor], bucket .. ":c", string.format("%.0f", sum[2]))
  end
end
return entered
