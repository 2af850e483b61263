-- Stored objects as records of 128 bytes, and records as JSON.

-- The record of an account from its stored value.
local function account_record(value)
  local a = open_account("", value)
  local id, stamp, user_data, ledger, code = read("<c16c8c28c4c2", log_bytes("accounts", 58, a[PLACE]))
  return id .. write(BALANCES_LAYOUT, unpack(a, 5, 16)) .. user_data .. "\0\0\0\0" .. ledger .. code
    .. write("<I2", a[FLAGS]) .. stamp
end

-- One record as a JSON object: numbers up to 32 bits as numbers, wider ones as decimal strings.
local function object_json(bytes, fields)
  local list, at = {}, 1
  for i = 1, #fields, 2 do
    local size = fields[i + 1]
    local text = decimal(sub(bytes, at, at + size - 1))
    list[#list + 1] = '"' .. fields[i] .. '":' .. (size > 4 and '"' .. text .. '"' or text)
    at = at + size
  end
  return "{" .. table.concat(list, ",") .. "}"
end

-- Records as the answer: one string of bytes, or a JSON array.
local function answer_records(records, json, fields)
  if not json then
    return table.concat(records)
  end
  for i = 1, #records do
    records[i] = object_json(records[i], fields)
  end
  return "[" .. table.concat(records, ",") .. "]"
end
