-- Give dead letters another life: back into the stream as they were published, with no delivery counted; those of a log
-- for the group alone that gave them up.
--   KEYS[1] stream      stream
--   KEYS[2] dead        stream of dead letters
--   ARGV[1..] ids       of dead letters, at most 500
--   returns how many were there
-- @include "entry.lua"
local stream, dead = KEYS[1], KEYS[2]
local replayed = 0
for _, id in ipairs(ARGV) do
  local letter = redis.call("XRANGE", dead, id, id)[1]
  if letter then
    entry_again(stream, 0, letter[2][8], { unpack(letter[2], 13) })
    redis.call("XDEL", dead, id)
    replayed = replayed + 1
  end
end
return replayed
