-- Rewrite an accepted record as final, and give back its time from the start in ms.
local function close(records, id, record, state, now, code, by)
  local head, received = record:match("^%a( %d+ %S+ %S+ (%d+) %d+ %d+) ")
  local age = math.max(0, now - received)
  call("HSET", records, id, state .. head .. " " .. whole(age) .. " " .. code .. " " .. by)
  return age
end
