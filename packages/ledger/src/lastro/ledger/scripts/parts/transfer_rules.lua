-- Everything about transfers beyond the plain case, spliced into create_transfers: the functions share its locals.
local all_imported = (byte(data, 120) or 0) % 2 == 1 -- the first event decides, here or in an earlier part of the request
if floor(options / 2) % 4 > 0 then
  all_imported = floor(options / 2) % 2 == 1
end
local end_low, end_high -- the slot of the last event
-- @include "parts/limbs.lua"
-- @include "parts/time.lua"
-- @include "parts/chain.lua"
-- @include "parts/posting.lua"
-- @include "parts/imports.lua"
-- @include "parts/transfer.lua"
-- @include "parts/normal.lua"
-- @include "parts/normal_effect.lua"
-- @include "parts/settling.lua"
-- @include "parts/settling_effect.lua"
-- @include "parts/existing.lua"
-- @include "parts/events.lua"
-- @include "parts/expire.lua"

-- One transfer after the checks that all events share.
local function judge_transfer(i)
  if flags >= 512 then
    return 4
  elseif id == ZERO16 then
    return 5
  elseif id == MAX16 then
    return 6
  end
  local value = status_of(keys[i + 1])
  if value then
    return value == BURNT and 68 or compare_transfer((value - value % 8) / 8)
  elseif post or void then
    return settle_pending(i)
  end
  return transfer_normally(i)
end

-- One side of a crossing is refused for ever, but not for want of a shard's own account: that is opened, and it is asked
-- for again.
local function burn_transfer(i, code)
  local missing = code == 21 and debit or code == 22 and credit
  if not (crossing and missing and stands_for_a_shard(missing)) then
    learn(keys[i + 1], BURNT)
  end
end

-- The code of event i.
local function decide(i)
  read_event(i)
  if not end_low then
    end_low, end_high = later(slot_low, slot_high, count - i)
  end
  local code = in_order(i, flags % 2 == 1, imported, time_low, time_high, 56, judge_transfer, burn_transfer)
  plain = not first_linked and not all_imported
  return code
end
