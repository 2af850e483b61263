-- Give dead letters another life: back into the list as they were published, with no delivery counted.
--   KEYS[1] queue     list of packed messages, oldest right
--   KEYS[2] dead      stream of dead letters
--   ARGV[1..] ids     of dead letters, at most 500
--   returns how many were there
local queue, dead = KEYS[1], KEYS[2]
local revived = 0
for _, id in ipairs(ARGV) do
  local letter = redis.call("XRANGE", dead, id, id)[1]
  if letter then
    local flat = letter[2]
    redis.call("LPUSH", queue, cmsgpack.pack({ flat[12], "0", flat[8], "0", unpack(flat, 13) }))
    redis.call("XDEL", dead, id)
    revived = revived + 1
  end
end
return revived
