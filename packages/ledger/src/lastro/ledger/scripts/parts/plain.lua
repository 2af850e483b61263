-- The single transfer as most are: a record without flags, between accounts without flags, that nothing can refuse.
-- Straight code without functions, because making the rules' functions costs more than the whole transfer. Answers
-- nothing and has written nothing when anything is out of the ordinary: then the rules decide.
local function plain_transfer(event, prefix)
  local call, read, write, format, floor = redis.call, struct.unpack, struct.pack, string.format, math.floor
  local t1, t2, t3, d1, d2, d3, c1, c2, c3, a1, a2, a3, p1, p2, p3, _, timeout, ledger, code, flags, time_low, time_high =
    read("<I6I6I4I6I6I4I6I6I4I6I6I4I6I6I4c28I4I4I2I2I6I2", event)
  if flags + timeout + p1 + p2 + p3 + time_low + time_high > 0 or code == 0 or t3 == 0 or t3 == 4294967295 then
    return nil
  end
  local id, debit, credit = prefix .. "transfer:" .. event:sub(1, 16), prefix .. "account:", prefix .. "account:"
  debit = debit .. (d3 + d2 == 0 and format("%.0f", d1) or event:sub(17, 32))
  credit = credit .. (c3 + c2 == 0 and format("%.0f", c1) or event:sub(33, 48))
  local found = call("MGET", prefix .. "state", id, debit, credit)
  local state, d, c = found[1], found[3], found[4]
  -- small balances only: the last byte of the stored account
  if not state or found[2] or not d or not c or debit == credit or d:byte(-1) + c:byte(-1) > 0 then
    return nil
  end
  local dw, dx, d_dp, d_ds, d_cp, d_cs, d_flags, d_ledger, d_place, d_count, d_count2 = read("<Bc0Bc0I6I6I6I6I2I4I6I6I6", d)
  local cx, cw, c_dp, c_ds, c_cp, c_cs, c_flags, c_ledger, c_place, c_count2, c_count = read("<Bc0Bc0I6I6I6I6I2I4I6I6I6", c)
  d_ds, c_cs = d_ds + a1, c_cs + a1
  if d_flags + c_flags + a2 + a3 > 0 or d_ledger ~= ledger or c_ledger ~= ledger
    or d_ds >= 281474976710656 or c_cs >= 281474976710656 then
    return nil
  end
  local last_low, last_high, account_low, account_high, _, _, due_low, due_high, accounts, place, keep =
    read("<I6I2I6I2I6I2I6I2I6I6I4", state)
  local time = call("TIME")
  local micros = time[1] * 1000000 + time[2]
  local upper = floor(micros / 16777216) * 1000
  local low = upper % 16777216 * 16777216 + micros % 16777216 * 1000 + 1
  local high = floor(upper / 16777216) + floor(low / 281474976710656)
  low = low % 281474976710656
  if high < last_high or high == last_high and low <= last_low or place % 1023 == 0
    or due_high > 0 and (due_high < high or due_high == high and due_low <= low) then
    return nil
  end
  local stamp, entry = write("<I6I2", low, high), write("<I6", place)
  dw, cw = dw .. entry, cw .. entry
  if #dw == 48 then
    call("APPEND", debit .. ":transfers:debits:" .. floor(d_count / 1000000), dw)
    dw, d_count = "", d_count + 8
  end
  if #cw == 48 then
    call("APPEND", credit .. ":transfers:credits:" .. floor(c_count / 1000000), cw)
    cw, c_count = "", c_count + 8
  end
  local bytes = event:sub(1, 120) .. stamp
  call("MSET", id, format("%d", place * 8),
    debit, write("<Bc0Bc0I6I6I6I6I2I4I6I6I6B", #dw, dw, #dx, dx, d_dp, d_ds, d_cp, d_cs, 0, ledger, d_place, d_count, d_count2, 0),
    credit, write("<Bc0Bc0I6I6I6I6I2I4I6I6I6B", #cx, cx, #cw, cw, c_dp, c_ds, c_cp, c_cs, 0, ledger, c_place, c_count2, c_count, 0),
    prefix .. "state", write("<I6I2I6I2I6I2I6I2I6I6I4", low, high, account_low, account_high, low, high, due_low, due_high, accounts, place + 1, keep))
  call("SETRANGE", prefix .. "log:transfers:" .. floor(place / 1023), place % 1023 * 128, bytes)
  call("XADD", prefix .. "changes", "MAXLEN", "~", keep, "*", "transfer",
    write("<c0I6I6I6I6I6I6I6I6", bytes, d_dp, d_ds, d_cp, d_cs, c_dp, c_ds, c_cp, c_cs))
  return stamp .. "\0\0\0\0\0\0\0\0"
end
