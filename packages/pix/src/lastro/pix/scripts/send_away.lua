-- Take money of a participant out of this shard, for another one; one sum at a time is on its way.
--   KEYS[1] accounts      hash, participant -> centavos free; ":drawn" sums what left
--   KEYS[2] leaving       hash, "<to>:<participant>" -> "number cents"; 0 cents when it has arrived
--   KEYS[3] movements     stream
--   ARGV[1] ispb
--   ARGV[2] to            the other shard
--   ARGV[3] amount_cents  0 takes all that is free
--   returns number and cents of what is on its way there, from before or since now; none when nothing is free, or too little
--   writes {drawn} to movements
-- @include "parts/batch.lua"
-- @include "parts/moves.lua"
local field = ARGV[2] .. ":" .. ARGV[1]
local number, going = (call("HGET", KEYS[2], field) or "0 0"):match("^(%d+) (%d+)$")
if going ~= "0" then
  return { number, going }
end
local free = call("HGET", KEYS[1], ARGV[1]) or "0"
local cents = ARGV[3] == "0" and free or ARGV[3] -- as text: what came in is not bounded by what Lua counts exactly
if cents + 0 <= 0 or cents + 0 > free + 0 then
  return {}
end
local kind = call("TYPE", KEYS[3]).ok
assert(kind == "none" or kind == "stream", KEYS[3] .. " is a " .. kind)
number = whole(number + 1)
call("HSET", KEYS[2], field, number .. " " .. cents)
call("HINCRBY", KEYS[1], ARGV[1], "-" .. cents)
call("HINCRBY", KEYS[1], ARGV[1] .. ":drawn", cents)
move("drawn", cents, ARGV[1], "-", field .. ":" .. number)
publish_moves(KEYS[3])
return { number, cents }
