-- Lookups by id: in the order asked, unknown ids left out, repeated ids repeated.
-- @include "parts/base.lua"
-- @include "parts/account_table.lua"
-- @include "parts/decimal.lua"
-- @include "parts/json.lua"
-- @include "parts/fields.lua"
-- @include "parts/reading.lua"

-- One id of a JSON request as 16 bytes, or nil and what is wrong with it.
local function encode_id(value)
  if type(value) == "table" then
    value = value.id
  end
  local bytes, fault = encode(value, 16)
  return bytes, fault and "id " .. fault
end

-- The ids of a request: 16 bytes each, or a JSON array. One id may be a JSON value or bare digits, too; what has 16 bytes
-- and only looks like JSON is an id.
local function read_ids(single)
  local text = ARGV[1]
  local bare = single and text:match("^%d+$")
  if not bare and not is_json(text, 16) then
    return text, false, single and #text ~= 16 and "an id has 16 bytes"
  end
  local whole, list = decode_json(bare and '"' .. text .. '"' or text)
  if single and not whole and #text == 16 then
    return text, false
  elseif not whole or not single and type(list) ~= "table" then
    return nil, true, "not a JSON array, nor ids of 16 bytes"
  end
  list = single and { list } or list
  for i = 1, #list do
    local bytes, fault = encode_id(list[i])
    if not bytes then
      return nil, true, fault
    end
    list[i] = bytes
  end
  return table.concat(list), true
end

-- Records of the ids that exist. `find` gets ids and their keys' values and answers records.
local function lookup(kind, single, to_record)
  local ids, json, fault = read_ids(single)
  if not fault and #ids > EVENTS_MAX * 16 then
    fault = "too much data: " .. #ids / 16 .. " ids, at most " .. EVENTS_MAX
  end
  if fault then
    return redis.error_reply("BADINPUT " .. fault)
  end
  local keys, records = {}, {}
  for at = 1, #ids, 16 do
    keys[#keys + 1] = key(kind, sub(ids, at, at + 15))
  end
  if #keys == 0 then
    return answer_records(records, json, fields_of(kind))
  end
  local found = fetch(keys)
  for i = 1, #keys do
    local record = found[i] and to_record(found[i])
    if record then
      records[#records + 1] = record
    end
  end
  if not (single and json) then
    return answer_records(records, json, fields_of(kind))
  end
  return records[1] and '{"result":0,"status":"ok",' .. sub(object_json(records[1], fields_of(kind)), 2) or "{}"
end

-- The record behind a transfer id; none if the id was burnt.
local function transfer_record(value)
  local number = transfer_number(value)
  return number and log_bytes("transfers", 128, floor(number / 8))
end
