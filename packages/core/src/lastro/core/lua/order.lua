-- The order of a stream's entries.
-- entry_parts(id): milliseconds and number of an id.
local function entry_parts(id)
  local ms, seq = string.match(id, "^(%d+)-(%d+)$")
  return tonumber(ms), tonumber(seq)
end

-- entry_earlier(one, other): whether the first comes before the second.
local function entry_earlier(one, other)
  local ms, seq = entry_parts(one)
  local other_ms, other_seq = entry_parts(other)
  return ms < other_ms or (ms == other_ms and seq < other_seq)
end
