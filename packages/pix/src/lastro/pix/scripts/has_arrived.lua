-- Note that what left for another shard has arrived there: the next sum may go.
--   KEYS[1] leaving       hash, "<to>:<participant>" -> "number cents"
--   ARGV[1] ispb
--   ARGV[2] to
--   ARGV[3] number
--   ARGV[4] amount_cents
--   returns the first that applies:
--     "past"  another is on its way, or none
--     "done"  now
--   flags  allow-oom
local field = ARGV[2] .. ":" .. ARGV[1]
if redis.call("HGET", KEYS[1], field) ~= ARGV[3] .. " " .. ARGV[4] then
  return "past"
end
redis.call("HSET", KEYS[1], field, ARGV[3] .. " 0")
return "done"
