-- Who has an entry, and how often it was handed out.
-- held(stream, group, id): the consumer that has it and its deliveries; false when nobody has, or the group is gone.
local function held(stream, group, id)
  local found = redis.pcall("XPENDING", stream, group, id, id, 1)
  if found.err then
    return string.find(found.err, "^NOGROUP") and false or error(found.err)
  end
  if #found == 0 then
    return false
  end
  return found[1][2], found[1][4]
end
