-- The state of one create request, spliced into the function that serves it.
-- Timestamps are nanoseconds in two numbers, 48 bits and 15 bits, because a double ends at 53.
local time = call("TIME")
local micros = time[1] * 1000000 + time[2]
local upper = floor(micros / 16777216) * 1000
local slot_low = upper % 16777216 * 16777216 + micros % 16777216 * 1000
local slot_high = floor(upper / 16777216) + floor(slot_low / LIMB)
slot_low = slot_low % LIMB
local last_low, last_high, account_low, account_high, transfer_low, transfer_high, due_low, due_high = 0, 0, 0, 0, 0, 0, 0, 0
local account_count, transfer_count, keep = 0, 0, 1000000 -- changes_max of settings.py; retain_changes writes another
if state then
  last_low, last_high, account_low, account_high, transfer_low, transfer_high, due_low, due_high, account_count,
    transfer_count, keep = read(STATE_LAYOUT, state)
elseif call("EXISTS", PREFIX .. "log:accounts:0", PREFIX .. "log:transfers:0") > 0 then
  error("LAYOUT the state is lost, and the logs are there") -- counted from 0 again, they would be written over
end
local stored_accounts, stored_transfers = account_count, transfer_count -- before this request
local lagging = slot_high < last_high or slot_high == last_high and slot_low <= last_low
if lagging then -- the clock went back, or stands still: go on from the newest slot
  slot_low, slot_high = last_low, last_high
end
local stamp -- the slot of the event at hand, or the timestamp of its answer, as 8 bytes
local codes, stamps = {}, {} -- the answer
-- What will be written: accounts, other keys and values, records in halves, stream entries, commands, expiries.
local touched, values, records, changes, rows, due, undue = {}, {}, {}, {}, {}, {}, {}

-- Give the next event its slot.
local function next_slot()
  slot_low = slot_low + 1
  if slot_low == LIMB then
    slot_low, slot_high = 0, slot_high + 1
  end
  stamp = write("<I6I2", slot_low, slot_high)
end
