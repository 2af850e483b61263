-- clock_ms(): the server's time in ms, as a whole number.
local function clock_ms()
  local time = redis.call("TIME")
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
