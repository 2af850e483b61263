-- Whether a record of a log has exactly this timestamp. Logs are sorted by it, so halve the range.
local function taken(log, size, at, count, time_low, time_high)
  local from, to = 0, count - 1
  while from <= to do
    local middle = floor((from + to) / 2)
    local low, high = read("<I6I2", log_bytes(log, size, middle), at + 1)
    if low == time_low and high == time_high then
      return true
    elseif not_after(low, high, time_low, time_high) then
      from = middle + 1
    else
      to = middle - 1
    end
  end
  return false
end
