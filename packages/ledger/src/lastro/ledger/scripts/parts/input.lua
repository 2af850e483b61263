-- The events of a create request, whatever their form. A fault names the event.

-- All events of a JSON text as records, and their metadata; or nil, nil, and what is wrong.
local function decode_events(text, kind, single)
  local whole, list = decode_json(text)
  local is_array = text:find("^%s*%[") ~= nil
  if not whole or type(list) ~= "table" or is_array == single then
    return nil, nil, single and "not a JSON object, nor a record of 128 bytes"
      or "not a JSON array, nor records of 128 bytes"
  end
  list = single and { list } or list
  local records, notes, fields = {}, {}, fields_of(kind)
  for i = 1, #list do
    local bytes, fault = encode_object(list[i], fields, kind == "transfer" and "metadata")
    notes[i] = bytes and list[i].metadata
    fault = fault or notes[i] ~= nil and refuse_metadata(notes[i])
    if fault then
      return nil, nil, single and fault or "event " .. i - 1 .. ": " .. fault
    end
    records[i] = bytes
  end
  return table.concat(records), notes
end

-- The request's records, whether it was JSON, what is wrong with it, and its metadata by event.
local function read_events(text, kind, single)
  local notes, fault
  local json = is_json(text, 128)
  if json then
    text, notes, fault = decode_events(text, kind, single)
  elseif single and #text ~= 128 then
    fault = "not a JSON object, nor a record of 128 bytes"
  elseif ARGV[3] and ARGV[3] ~= "" then
    notes = cjson.decode(ARGV[3])
    local strict = floor(tonumber(ARGV[2]) / 16) % 2 == 1 -- its sender has looked
    for i, note in pairs(notes) do
      local wrong = refuse_metadata(note, strict)
      if wrong then
        fault = "event " .. i - 1 .. ": " .. wrong
        break
      end
    end
  end
  if not fault and #text > EVENTS_MAX * 128 then
    fault = "too much data: " .. #text / 128 .. " events, at most " .. EVENTS_MAX
  end
  return text, json, fault and "BADINPUT " .. fault, notes
end
