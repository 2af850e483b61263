-- Filters of reads, as records or JSON, and the window of the log which they allow.
-- @include "parts/base.lua"
-- @include "parts/account_table.lua"
-- @include "parts/decimal.lua"
-- @include "parts/json.lua"
-- @include "parts/fields.lua"
-- @include "parts/time.lua"
-- @include "parts/reading.lua"
local SCAN_MAX = 10000 -- records looked at in one call, above any limit; a sparse filter goes on from the resume timestamp

-- The request's filter as a record, whether it was JSON, and what is wrong with it.
local function read_filter(kind, size)
  local text, fault = ARGV[1], nil
  local json = is_json(text, size)
  if json or #text ~= size then
    local whole, object = decode_json(text)
    if not whole or type(object) ~= "table" then
      return nil, true, "not a JSON object, nor a filter of " .. size .. " bytes"
    end
    text, fault = encode_object(object, fields_of(kind))
    if not text then
      return nil, true, fault
    end
  end
  local limit = read("<I4", text, size - 7)
  if limit > EVENTS_MAX then
    return nil, json, "too much data: limit is " .. limit .. ", at most " .. EVENTS_MAX
  end
  return text, json
end

-- The number of log records with a timestamp before the given one (or at it, if asked).
local function count_until(log, size, at, count, low, high, inclusive)
  local from, to = 0, count
  while from < to do
    local middle = floor((from + to) / 2)
    local l, h = read("<I6I2", log_bytes(log, size, middle), at + 1)
    if h < high or h == high and (l < low or inclusive and l == low) then
      from = middle + 1
    else
      to = middle
    end
  end
  return from
end

-- The first and the last ordinal of the window, or nil if the filter is not valid.
local function window(log, size, at, count, min, max, limit)
  local min_low, min_high = read("<I6I2", min)
  local max_low, max_high = read("<I6I2", max)
  if limit == 0 or min_high >= 32768 or max_high >= 32768 or max ~= ZERO8 and not not_after(min_low, min_high, max_low, max_high) then
    return nil
  end
  local first = min == ZERO8 and 0 or count_until(log, size, at, count, min_low, min_high, false)
  local last = max == ZERO8 and count or count_until(log, size, at, count, max_low, max_high, true)
  return first, last - 1
end

-- Whether user_data, ledger and code of a record are what the filter wants; zero wants any.
local function matcher(data128, data64, data32, ledger, code)
  return function(bytes)
    local b128, b64, b32, _, b_ledger, b_code = read("<c16c8c4c4c4c2", bytes, 81)
    return (data128 == ZERO16 or data128 == b128) and (data64 == ZERO8 or data64 == b64)
      and (data32 == "\0\0\0\0" or data32 == b32) and (ledger == "\0\0\0\0" or ledger == b_ledger)
      and (code == "\0\0" or code == b_code)
  end
end

-- The answer of a filtered read: records and where to go on (nothing if done), or a JSON array.
local function answer_page(records, json, kind, resume_low, resume_high)
  if not json then
    return { table.concat(records), resume_low and decimal(write("<I6I2", resume_low, resume_high)) or "" }
  elseif resume_low then
    return redis.error_reply("SCANMAX looked at " .. SCAN_MAX .. " records: narrow the window, it was searched up to "
      .. decimal(write("<I6I2", resume_low, resume_high)))
  end
  return answer_records(records, true, fields_of(kind))
end

-- The timestamp after a record's, in the direction of reading; none below 1, since 0 would mean any.
local function beyond(bytes, reversed)
  local low, high = read("<I6I2", bytes, 121)
  if not reversed then
    return later(low, high, 1)
  elseif low == 0 then
    return LIMB - 1, high - 1
  elseif low > 1 or high > 0 then
    return low - 1, high
  end
end
