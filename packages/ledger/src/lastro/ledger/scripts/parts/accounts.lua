-- The whole of a create_accounts request.
-- @include "parts/base.lua"
-- @include "parts/account_table.lua"
-- @include "parts/commit.lua"
-- @include "parts/faces.lua"

local function create_accounts(data, single)
  local as_json, fault = false, nil
  if #data % 128 ~= 0 or #data > EVENTS_MAX * 128 or (byte(data, 120) or 0) > 1 or single and #data ~= 128 then
    data, as_json, fault = json_face().read_events(data, "account", single)
    if fault then
      return redis.error_reply(fault)
    end
  end
  local count, options = #data / 128, tonumber(ARGV[2] or 0)
  local keys, known = { PREFIX .. "state" }, {}
  for i = 1, count do
    keys[i + 1] = key("account", sub(data, i * 128 - 127, i * 128 - 112))
  end
  local found = fetch(keys)
  local state = found[1]
  for i = 1, count do
    known[keys[i + 1]] = found[i + 1]
  end
-- @include "parts/state.lua"
-- @include "parts/account_rules.lua"
  for i = 1, count do
    next_slot()
    codes[i] = decide(i)
    stamps[i] = stamp
  end
  if #changes > 0 or lagging then
    values[#values + 1] = keys[1]
    values[#values + 1] = write(STATE_LAYOUT, slot_low, slot_high, account_low, account_high, transfer_low,
      transfer_high, due_low, due_high, account_count, transfer_count, keep)
    write_values(values, {})
  end
  if #changes > 0 then
    append("accounts", stored_accounts, 58, records, 1)
    publish(changes, keep)
  end
  if as_json then
    return json_face().answer(codes, stamps, nil, "account", single)
  end
  return answer_bytes(codes, stamps)
end
