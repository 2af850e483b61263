-- How transfers change accounts.
local PLAIN, PENDING, POSTED, VOIDED, EXPIRED, BURNT = 0, 1, 2, 3, 4, -1

-- Whether an account has a flag.
local function has(a, bit)
  return floor(a[FLAGS] / bit) % 2 == 1
end

-- Set or clear the closed bit.
local function close(a, closed)
  if has(a, 32) ~= closed then
    a[FLAGS] = a[FLAGS] + (closed and 32 or -32)
  end
end

-- The account's table, read on first use; false if there is none.
local function account(id)
  local at = key("account", id)
  local a = accounts[at]
  if a == nil then
    a = open_account(at, call("GET", at))
    accounts[at] = a
  end
  return a
end

-- What is known of a transfer's key: place * 8 + status, BURNT, or false.
local function status_of(at)
  local value = known[at]
  if value == nil then
    value = call("GET", at)
  end
  if type(value) == "string" then
    value = transfer_number(value) or BURNT
  end
  known[at] = value
  return value
end

-- Note what is known of a transfer's key from now on.
local function learn(at, value)
  forget(at)
  known[at] = value
  values[#values + 1] = at
  values[#values + 1] = value == BURNT and "" or format("%d", value)
end

-- The 128 bytes of a transfer by its place in the log.
local function record(place)
  if place >= stored_transfers then
    local at = (place - stored_transfers) * 2 + 1
    return records[at] .. records[at + 1]
  end
  return log_bytes("transfers", 128, place)
end

-- Take a reservation off one side of an account (its pending limbs begin at `at`) and post an amount to it.
local function settle(a, at, r1, r2, r3, p1, p2, p3)
  touch(a)
  a[at], a[at + 1], a[at + 2] = subtract(a[at], a[at + 1], a[at + 2], r1, r2, r3)
  a[at + 3], a[at + 4], a[at + 5] = add(a[at + 3], a[at + 4], a[at + 5], p1, p2, p3)
end

-- A row of each account's balance history, if it keeps one, under the transfer's place.
local function remember(d, c)
  local entry = write("<I6", transfer_count - 1)
  for _, a in ipairs({ d, c }) do
    if has(a, 8) then
      rows[#rows + 1] = { "HSET", a[KEY] .. ":balance_history", entry, write(BALANCES_LAYOUT, unpack(a, 5, 16)) }
    end
  end
end
