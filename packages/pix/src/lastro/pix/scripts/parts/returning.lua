-- Take a letter out of the dead ones if there is a place for it: a source of the wrong type would lose it.
local function taken_out(dead, letter, source, wanted)
  local kind = redis.call("TYPE", source).ok
  assert(kind == "none" or kind == wanted, source .. " is a " .. kind)
  return redis.call("XDEL", dead, letter) == 1
end
