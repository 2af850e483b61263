-- The last words about a payment. A record reads
--   <A accepted, S settled, R rejected, X expired, C confirmed> cents payer payee received_ms
--   then, in ms after received: accepted, due, final; then code and who said it
-- An archived record is lower case and has only cents, payer and payee left.
local function read(records, id)
  local record = call("HGET", records, id)
  if record then
    return record, record:match("^(%a) (%d+) (%S+) (%S+) ?(%d*) ?(%d*) ?(%d*)")
  end
end

-- Rewrite an accepted record as final, and give back its time from the start in ms.
local function close(records, id, record, state, now, code, by)
  local head, received = record:match("^%a( %d+ %S+ %S+ (%d+) %d+ %d+) ")
  local age = math.max(0, now - received)
  call("HSET", records, id, state .. head .. " " .. whole(age) .. " " .. code .. " " .. by)
  return age
end
