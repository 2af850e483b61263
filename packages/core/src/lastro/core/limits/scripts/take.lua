-- Let something through at a steady rate, with bursts: the generic cell rate algorithm on the server's clock.
--   KEYS[1] limit        string, when the bucket would be empty, in µs; lives until then
--   ARGV[1] interval_us  between two at the steady rate
--   ARGV[2] burst        so many may come at once
--   ARGV[3] cost         how many this one counts for, at most burst
--   flags  allow-oom
--   returns {µs to wait, how many more would be let through now}; the first is 0 when this one was
local limit, interval_us, burst, cost = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call("TIME")
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local empty_at = tonumber(redis.call("GET", limit) or 0)
if empty_at < now_us or empty_at > now_us + burst * interval_us then
  empty_at = now_us -- it is empty, or the clock was ahead and was put right
end
local after = empty_at + cost * interval_us
local wait_us = after - now_us - burst * interval_us
if wait_us > 0 then
  return { wait_us, 0 }
end
redis.call("SET", limit, string.format("%.0f", after), "PX", math.ceil((after - now_us) / 1000))
return { 0, math.floor((now_us + burst * interval_us - after) / interval_us) }
