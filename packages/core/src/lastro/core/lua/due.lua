-- Messages that wait for their time: a sorted set, due ms -> packed {id, deliveries, first_ms, fields...}.
-- due_later(delayed, due_ms, id, deliveries, first_ms, fields): id makes equal messages distinct.
local function due_later(delayed, due_ms, id, deliveries, first_ms, fields)
  redis.call("ZADD", delayed, due_ms, cmsgpack.pack({ id, tostring(deliveries), tostring(first_ms), unpack(fields) }))
end

-- due_now(delayed, now_ms, count_max, add): give what is due to add(id, deliveries, first_ms, fields), each member removed
-- right after its own add: a script that fails half-way doubles nothing. How many, and ms until the next is due or -1.
local function due_now(delayed, now_ms, count_max, add)
  local members = redis.call("ZRANGEBYSCORE", delayed, "-inf", now_ms, "LIMIT", 0, count_max)
  for _, member in ipairs(members) do
    local packed = cmsgpack.unpack(member)
    add(packed[1], packed[2], packed[3], { unpack(packed, 4) })
    redis.call("ZREM", delayed, member)
  end
  local next = redis.call("ZRANGE", delayed, 0, 0, "WITHSCORES")[2]
  return #members, next and math.max(0, tonumber(next) - now_ms) or -1
end
