-- Entries that come back carry what happened before in their first field, "~": "deliveries first_ms", and in a log the
-- group that they come back for: it is nothing to the others.
-- entry_fields(flat): deliveries before, first_ms or false, and the fields as they were published. A "~" that is another
-- program's is a field like any other.
local function entry_fields(flat)
  local deliveries, first_ms = string.match(flat[1] == "~" and flat[2] or "", "^(%d+) (%d+)")
  if not deliveries or #deliveries > 14 or #first_ms > 14 then
    return 0, false, flat
  end
  local own = {}
  for at = 3, #flat do
    own[at - 2] = flat[at]
  end
  return tonumber(deliveries), first_ms, own
end

-- entry_again(stream, deliveries, first_ms, fields): append it anew; its new id.
local function entry_again(stream, deliveries, first_ms, fields)
  return redis.call("XADD", stream, "*", "~", deliveries .. " " .. first_ms, unpack(fields))
end
