-- The whole of a create_transfers request.
-- @include "parts/base.lua"
-- @include "parts/account_table.lua"
-- @include "parts/commit.lua"
-- @include "parts/faces.lua"

-- `going_on`: these are the rest of a request, records whose slots follow the last ones given.
local function create_transfers(data, single, options, going_on)
  local as_json, fault, notes = false, nil, nil
  if not going_on and (#data % 128 ~= 0 or #data > EVENTS_MAX * 128 or (byte(data, 120) or 0) > 1
    or single and #data ~= 128 or ARGV[3]) then
    data, as_json, fault, notes = json_face().read_events(data, "transfer", single)
    if fault then
      return redis.error_reply(fault)
    end
  end
  local count = #data / 128
-- @include "parts/transfer_prefetch.lua"
-- @include "parts/state.lua"
  if going_on then
    slot_low, slot_high = last_low, last_high
  end
  local after = options % 2 == 1 and {} or nil
  local crossing = floor(options / 8) % 2 == 1
  local plain = floor(options / 2) % 2 == 0 -- not in a chain, nor among imports
-- @include "parts/transfer_store.lua"
  local rules
  -- before the first event comes, as number 0, the expiry of what is due
  local first = (due_high > slot_high or due_high == slot_high and due_low > slot_low or due_high == 0) and 1 or 0
  for i = first, count do
    local d, c = accounts[debits[i]], accounts[credits[i]]
    local a1, a2, a3, p1, p2, p3, _, timeout, ledger, code, flags, time_low, time_high
    if i > 0 then
      a1, a2, a3, p1, p2, p3, _, timeout, ledger, code, flags, time_low, time_high =
        read("<I6I6I4I6I6I4c28I4I4I2I2I6I2", data, i * 128 - 79)
      next_slot()
    end
    if d and c and plain and flags + timeout + p1 + p2 + p3 + time_low + time_high == 0 and not known[keys[i + 1]]
      and d[FLAGS] == 0 and c[FLAGS] == 0 and d[LEDGER] == ledger and c[LEDGER] == ledger and code > 0 and d ~= c
      and d[7] + d[10] + a3 < LIMB_TOP - 2 and c[13] + c[16] + a3 < LIMB_TOP - 2 then
      -- a plain transfer which nothing can refuse: no flag on it nor on its accounts, no sum near 2^128
      post(d, 8, a1, a2, a3)
      post(c, 14, a1, a2, a3)
      store(i, sub(data, i * 128 - 127, i * 128 - 8), 0, d, c)
      transfer_low, transfer_high = slot_low, slot_high
      codes[i] = 0
    else
      if not rules then
        local function make_rules()
-- @include "parts/transfer_rules.lua"
          return { decide = decide, expire_due = expire_due }
        end
        rules = make_rules()
      end
      codes[i] = i == 0 and rules.expire_due() or rules.decide(i)
    end
    stamps[i] = stamp
  end
  if #changes > 0 or lagging then
    add_metadata(values, notes, codes, keys)
    values[#values + 1] = keys[1]
    values[#values + 1] = write(STATE_LAYOUT, slot_low, slot_high, account_low, account_high, transfer_low,
      transfer_high, due_low, due_high, account_count, transfer_count, keep)
  end
  if #values > 0 then
    write_values(values, touched)
  end
  if #changes > 0 then
    append("transfers", stored_transfers, 128, records, 2)
    write_rows(rows, due, undue)
    if crossing then
      note_crossings(data, codes, micros)
    end
    publish(changes, keep)
  end
  if as_json then
    return json_face().answer(codes, stamps, after, "transfer", single)
  end
  return answer_bytes(codes, stamps, after), codes[0] or 0
end
