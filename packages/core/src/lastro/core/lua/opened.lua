-- opened(member, now_ms): a message of a list as {id, handed out, first_ms, deliveries before, fields...}. What another
-- program pushed is no message of ours, though it may be MessagePack, too: it is one field, "body", first seen now, under
-- a new id.
local function opened_ours(packed)
  if type(packed) ~= "table" or #packed < 4 or #packed % 2 > 0 or #packed > 2004 then -- a message has at most 1,000 fields
    return false
  end
  for at = 1, #packed do
    local text = packed[at]
    if type(text) ~= "string" or at > 1 and at < 5 and (#text > 14 or not string.find(text, "^%d+$")) then
      return false
    end
  end
  return string.find(packed[1], "^[%x-]+$") ~= nil
end

local opened_at, opened_count = false, 0
local function opened(member, now_ms)
  local whole, packed = pcall(cmsgpack.unpack, member)
  if whole and opened_ours(packed) then
    return packed
  end
  if not opened_at then
    local time = redis.call("TIME")
    opened_at = time[1] .. string.format("%06d", time[2]) .. "-" -- no other script runs in this microsecond
  end
  opened_count = opened_count + 1
  return { opened_at .. opened_count, "0", string.format("%.0f", now_ms), "0", "body", member }
end
