-- The record of a payment: state|cents|processor|requested_at_ms|attempts|owner or reason.
-- record_of(known, id): its six fields, or nothing when the id is unknown.
local function record_of(known, id)
  local text = redis.call("HGET", known, id)
  if not text then
    return nil
  end
  return string.match(text, "^(%a*_?%a*)|(%d+)|(%a*)|(%d*)|(%d+)|(.*)$")
end

-- record_set(known, id, …): write all six.
local function record_set(known, id, state, amount, processor, requested_at, attempts, note)
  redis.call("HSET", known, id, table.concat({ state, amount, processor, requested_at, attempts, note }, "|"))
end

-- record_now(): server time in ms, as an integer string.
local function record_now()
  local now = redis.call("TIME")
  return now[1] .. string.format("%03d", math.floor(now[2] / 1000))
end
