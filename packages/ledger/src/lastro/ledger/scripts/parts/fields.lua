-- Records as JSON objects: the fields of each kind of record in the order of its layout, each with its size in bytes.
local function fields_of(kind)
  if kind == "account" then
    return { "id", 16, "debits_pending", 16, "debits_posted", 16, "credits_pending", 16, "credits_posted", 16,
      "user_data_128", 16, "user_data_64", 8, "user_data_32", 4, "reserved", 4, "ledger", 4, "code", 2, "flags", 2,
      "timestamp", 8 }
  elseif kind == "transfer" then
    return { "id", 16, "debit_account_id", 16, "credit_account_id", 16, "amount", 16, "pending_id", 16,
      "user_data_128", 16, "user_data_64", 8, "user_data_32", 4, "timeout", 4, "ledger", 4, "code", 2, "flags", 2,
      "timestamp", 8 }
  elseif kind == "balance" then
    return { "debits_pending", 16, "debits_posted", 16, "credits_pending", 16, "credits_posted", 16, "timestamp", 8 }
  elseif kind == "account_filter" then
    return { "account_id", 16, "user_data_128", 16, "user_data_64", 8, "user_data_32", 4, "code", 2,
      "reserved", 58, "timestamp_min", 8, "timestamp_max", 8, "limit", 4, "flags", 4 }
  elseif kind == "query_filter" then
    return { "user_data_128", 16, "user_data_64", 8, "user_data_32", 4, "ledger", 4, "code", 2, "reserved", 6,
      "timestamp_min", 8, "timestamp_max", 8, "limit", 4, "flags", 4 }
  end
end

local ZEROS = { [2] = "\0\0", [4] = "\0\0\0\0", [6] = "\0\0\0\0\0\0", [8] = ZERO8, [16] = ZERO16, [58] = ("\0"):rep(58) }

-- A JSON value as little-endian bytes, or nil and what is wrong with it.
local function encode(value, size)
  local number = value
  if type(value) == "string" and #value <= 14 and value:find("^%d+$") then
    number = tonumber(value)
  end
  if type(number) ~= "number" then
    if type(value) ~= "string" or not value:find("^%d+$") then
      return nil, "must be a whole number or a string of decimal digits"
    end
    local bytes = from_decimal(value, math.min(size, 16))
    return bytes and bytes .. ("\0"):rep(size - #bytes), "must be below 2^" .. math.min(size, 16) * 8
  elseif number < 0 or number ~= floor(number) then
    return nil, "must be a whole number, not negative"
  elseif number > 9007199254740991 then
    return nil, "is too large for a JSON number to be exact, send a string"
  elseif size < 8 and number >= 2 ^ (8 * size) then
    return nil, "must be below 2^" .. size * 8
  elseif size < 8 then
    return write("<I" .. size, number)
  end
  return write("<I4I4", number % LIMB_TOP, floor(number / LIMB_TOP)) .. ("\0"):rep(size - 8)
end

-- The first field of an object that no record of its kind has.
local function unknown_field(object, fields, extra)
  local known = { [extra or false] = true }
  for i = 1, #fields, 2 do
    known[fields[i]] = true
  end
  for field in pairs(object) do
    if not known[field] then
      return tostring(field)
    end
  end
end

-- One JSON object as a record, or nil and what is wrong.
local function encode_object(object, fields, extra)
  if type(object) ~= "table" then
    return nil, "must be an object"
  end
  local parts, n, given = {}, 0, 0
  for i = 1, #fields, 2 do
    local value, part, fault = object[fields[i]], nil, nil
    if value == nil then
      part = ZEROS[fields[i + 1]]
    else
      given = given + 1
      part, fault = encode(value, fields[i + 1])
      if not part then
        return nil, fields[i] .. " " .. fault
      end
    end
    n = n + 1
    parts[n] = part
  end
  for _ in pairs(object) do
    given = given - 1
  end
  if given < 0 and not (given == -1 and extra and object[extra] ~= nil) then
    return nil, unknown_field(object, fields, extra) .. " is not a known field"
  end
  return table.concat(parts)
end

-- Whether a text is JSON rather than records of a size. JSON has no control byte but tab and line ends; a record, whose
-- fields are little-endian numbers, is full of them.
local function is_json(text, size)
  if #text % size ~= 0 then
    return true
  end
  return text:find('^%s*[%[{"]') ~= nil and not text:find("[%z\1-\8\11\12\14-\31]")
end
