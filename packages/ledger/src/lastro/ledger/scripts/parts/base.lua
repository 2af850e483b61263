-- Names, constants and key names of every ledger script.
local call, read, write, sub, byte, format, floor =
  redis.call, struct.unpack, struct.pack, string.sub, string.byte, string.format, math.floor
local ZERO8, ZERO16 = "\0\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
local MAX16 = "\255\255\255\255\255\255\255\255\255\255\255\255\255\255\255\255"
local LIMB, LIMB_TOP = 281474976710656, 4294967296 -- 2^48: the two low limbs of a u128; 2^32: the top one
local EVENTS_MAX = 8189 -- events, ids or objects in one call
local SEGMENT = 1023 -- records of a log in one string: 1023 * 128 bytes fill an allocation of 128 KiB
local INDEX_SEGMENT = 1000000 -- entries of an index in one string of 6 MB; a multiple of those that wait
local STATE_LAYOUT = "<I6I2I6I2I6I2I6I2I6I6I4"
local BALANCES_LAYOUT = "<I6I6I4I6I6I4I6I6I4I6I6I4"

-- The key of an id given in limbs: decimal below 2^48, else its 16 bytes. Their lengths never meet.
local function key_of(kind, l1, l2, l3)
  if l3 == 0 and l2 == 0 then
    return kind .. format("%.0f", l1)
  end
  return write("<c0I6I6I4", kind, l1, l2, l3)
end

-- The key of an id given in bytes.
local function key(kind, id)
  return key_of(PREFIX .. kind .. ":", read("<I6I6I4", id))
end

-- 8 times the place plus the status that is stored under a transfer's id, or nil for a burnt one. What neither is, another
-- build wrote: it ends the script, which has written nothing yet.
local function transfer_number(value)
  if value ~= "" then
    return tonumber(value) or error("LAYOUT a transfer's key holds what this build does not write")
  end
end

-- The values of any number of keys; unpack fails near 8,000.
local function fetch(keys)
  if #keys <= 4000 then
    return call("MGET", unpack(keys))
  end
  local found = {}
  for first = 1, #keys, 4000 do
    local part = call("MGET", unpack(keys, first, math.min(first + 3999, #keys)))
    for i = 1, #part do
      found[first + i - 1] = part[i]
    end
  end
  return found
end

-- Bytes of a log of records of one size, from one place to another in the same segment. What is in the archive alone ends
-- the script: it has written nothing yet, and whoever called it fetches that segment and calls again.
local function log_bytes(log, size, from, to)
  local segment = format("%.0f", floor(from / SEGMENT))
  local bytes = call("GETRANGE", PREFIX .. "log:" .. log .. ":" .. segment,
    from % SEGMENT * size, (to or from) % SEGMENT * size + size - 1)
  if bytes == "" then
    error("ARCHIVED " .. segment)
  end
  return bytes
end

