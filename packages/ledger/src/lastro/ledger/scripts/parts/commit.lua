-- Write what a request decided.

-- Append records to a log of fixed segments; `width` pieces of the list make one record.
local function append(log, at, size, list, width)
  local i, total = 1, #list / width
  while i <= total do
    local place = at % SEGMENT
    local fits = math.min(SEGMENT - place, total - i + 1)
    local key = PREFIX .. "log:" .. log .. ":" .. format("%.0f", floor(at / SEGMENT))
    if place == 0 then
      call("SETRANGE", key, SEGMENT * size - 1, "\0") -- one exact allocation, written in place from here on
    end
    call("SETRANGE", key, place * size, table.concat(list, "", (i - 1) * width + 1, (i + fits - 1) * width))
    i, at = i + fits, at + fits
  end
end

-- Set the given keys and values and the accounts that changed; at most 4,000 to a command.
local function write_values(values, touched)
  local n = #values
  for i = 1, #touched do
    local a = touched[i]
    values[n + 1], values[n + 2] = a[KEY], close_account(a)
    n = n + 2
  end
  if n <= 4000 then
    call("MSET", unpack(values))
    return
  end
  for first = 1, n, 4000 do
    call("MSET", unpack(values, first, math.min(first + 3999, n)))
  end
end

-- Index entries to append, history rows to set, expiries to add and to forget: a request may settle what it reserved.
local function write_rows(rows, due, undue)
  for i = 1, #rows do
    call(unpack(rows[i]))
  end
  for i = 1, #due, 2 do
    call("ZADD", PREFIX .. "expiries", due[i], due[i + 1])
  end
  for i = 1, #undue do
    call("ZREM", PREFIX .. "expiries", undue[i])
  end
end

-- Whether an account is a transit account, by its id.
local function stands_for_a_shard(id)
  return sub(id, 9) == ("\255"):rep(8)
end

-- Note the reservations of what leaves for another shard, by when: whoever made them may die before it is done there.
local function note_crossings(data, codes, micros)
  for i = 1, #codes do
    local credit = sub(data, i * 128 - 95, i * 128 - 80)
    if codes[i] == 0 and read("<I2", data, i * 128 - 9) == 2 and stands_for_a_shard(credit) then
      call("ZADD", PREFIX .. "crossings", floor(micros / 1000), sub(data, i * 128 - 127, i * 128 - 112))
    end
  end
end

-- One stream entry per change, in order; the last one trims.
local function publish(changes, keep)
  local stream, n = PREFIX .. "changes", #changes
  for i = 1, n - 2, 2 do
    call("XADD", stream, "*", changes[i], changes[i + 1])
  end
  call("XADD", stream, "MAXLEN", "~", keep, "*", changes[n - 1], changes[n])
end

-- Add the metadata that came with created transfers.
local function add_metadata(values, notes, codes, keys)
  for i, text in pairs(notes or {}) do
    if text and codes[tonumber(i)] == 0 then
      values[#values + 1] = PREFIX .. "metadata:" .. sub(keys[tonumber(i) + 1], #PREFIX + 10) -- behind "transfer:"
      values[#values + 1] = text
    end
  end
end

-- The answer as bytes: 16 for each event (timestamp, code, zero), then 128 of balances if they were asked for.
local function answer_bytes(codes, stamps, after)
  local list, n = {}, 0
  for i = 1, #codes do
    list[n + 1], list[n + 2] = stamps[i], codes[i] == 0 and ZERO8 or write("<I4I4", codes[i], 0)
    n = n + 2
    if after then
      n = n + 1
      list[n] = after[i] or ZERO16:rep(8)
    end
  end
  return table.concat(list)
end
