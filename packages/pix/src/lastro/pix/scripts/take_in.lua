-- Take in money of a participant that left another shard, once.
--   KEYS[1] accounts      hash, participant -> centavos free; ":funded" sums what came
--   KEYS[2] arrived       hash, "<from>:<participant>" -> number of the last sum that came from there
--   KEYS[3] movements     stream
--   ARGV[1] ispb
--   ARGV[2] origin        the other shard
--   ARGV[3] number        theirs; they send the next one when this has arrived
--   ARGV[4] amount_cents
--   returns the first that applies:
--     "repeat"  it came before
--     "done"    now
--   writes {funded} to movements
--   flags  allow-oom
-- @include "parts/batch.lua"
-- @include "parts/moves.lua"
local field = ARGV[2] .. ":" .. ARGV[1]
if tonumber(call("HGET", KEYS[2], field) or 0) >= ARGV[3] + 0 then
  return "repeat"
end
local kind = call("TYPE", KEYS[3]).ok
assert(kind == "none" or kind == "stream", KEYS[3] .. " is a " .. kind)
call("HSET", KEYS[2], field, ARGV[3])
call("HINCRBY", KEYS[1], ARGV[1], ARGV[4])
call("HINCRBY", KEYS[1], ARGV[1] .. ":funded", ARGV[4])
move("funded", ARGV[4], "-", ARGV[1], field .. ":" .. ARGV[3])
publish_moves(KEYS[3])
return "done"
