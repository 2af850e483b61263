-- opened(member, now_ms): a message of a list as {id, handed out, first_ms, deliveries before, fields...}. What another
-- program pushed is no message of ours: it is one field, "body", first seen now, under a new id.
local opened_at, opened_count = false, 0
local function opened(member, now_ms)
  local whole, packed = pcall(cmsgpack.unpack, member)
  if whole and type(packed) == "table" and packed[4] then
    return packed
  end
  if not opened_at then
    local time = redis.call("TIME")
    opened_at = time[1] .. string.format("%06d", time[2]) .. "-" -- no other script runs in this microsecond
  end
  opened_count = opened_count + 1
  return { opened_at .. opened_count, "0", string.format("%.0f", now_ms), "0", "body", member }
end
