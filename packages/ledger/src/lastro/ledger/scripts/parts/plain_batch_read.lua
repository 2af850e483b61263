-- Read what a plain request names, and the clock; spliced into plain_transfers.
local found = call("MGET", unpack(keys, 1, n + 1))
if not found[1] then
  return nil
end
for j = 2, n + 1 do
  if not found[j] or byte(found[j], -1) > 0 then -- the last byte tells whether all balances are below 2^48
    return nil
  end
end
local last_low, last_high, account_low, account_high, _, _, due_low, due_high, accounts, first, keep =
  read("<I6I2I6I2I6I2I6I2I6I6I4", found[1])
local low, high = last_low, last_high
if first_event == 0 then -- else the slots of the request go on
  local time = call("TIME")
  local micros = time[1] * 1000000 + time[2]
  local upper = floor(micros / 16777216) * 1000
  low = upper % 16777216 * 16777216 + micros % 16777216 * 1000
  high = floor(upper / 16777216) + floor(low / 281474976710656)
  low = low % 281474976710656
  if high < last_high or high == last_high and low <= last_low then
    return nil
  end
end
if low + count >= 281474976710656 or due_high > 0 and (due_high < high or due_high == high and due_low <= low + count) then
  return nil
end
