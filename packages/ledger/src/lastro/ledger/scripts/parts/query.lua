-- Queries over a whole log: transfers, or accounts in the order of their creation.

-- The query's filter taken apart: window, direction, limit and match; nil if it picks nothing.
local function read_query(filter, log, size, at, counter)
  local data128, data64, data32, ledger, code, reserved, min, max, limit, flags =
    read("<c16c8c4c4c2c6c8c8I4I4", filter)
  local state = call("GET", PREFIX .. "state")
  if not state or flags >= 2 or reserved ~= "\0\0\0\0\0\0" then
    return nil
  end
  local count = select(counter, read(STATE_LAYOUT, state))
  local first, last = window(log, size, at, count, min, max, limit)
  return first, last, flags == 1, limit, matcher(data128, data64, data32, ledger, code)
end

-- Records of the log entries [first, last], page by page, filtered. `load` gets a page's bytes and answers records.
local function scan(log, size, first, last, reversed, limit, matches, load)
  local records, looked = {}, 0
  local page = math.min(256, math.max(limit, 8))
  while first <= last and looked < SCAN_MAX do
    local from, to = first, math.min(last, first + page - 1)
    if reversed then
      from, to = math.max(first, last - page + 1), last
    end
    if floor(from / SEGMENT) ~= floor(to / SEGMENT) then
      from, to = reversed and to - to % SEGMENT or from, reversed and to or from - from % SEGMENT + SEGMENT - 1
    end
    local list = load(log_bytes(log, size, from, to))
    for i = 1, #list do
      local bytes = list[reversed and #list - i + 1 or i]
      if matches(bytes) then
        records[#records + 1] = bytes
        if #records == limit then
          return records
        end
      end
      looked = looked + 1
      if looked == SCAN_MAX then
        return records, beyond(bytes, reversed)
      end
    end
    if reversed then
      last = from - 1
    else
      first = to + 1
    end
  end
  return records
end
