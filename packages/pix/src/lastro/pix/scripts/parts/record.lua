-- A record reads
--   <A accepted, S settled, R rejected, X expired, C confirmed> cents payer payee received_ms
--   then, in ms after received: accepted, due, final; then code and who said it
-- An archived one is lower case and has only cents, payee and, when its id does not name him, payer left.
-- Gives back state, cents, payer ("" when it is the one the id names), payee, received, accepted, due.
local function split(record)
  local state, cents, payee, payer = record:match("^(%l) (%d+) (%S+) ?(%S*)$")
  if state then
    return state, cents, payer, payee
  end
  return record:match("^(%u) (%d+) (%S+) (%S+) (%d+) (%d+) (%d+)")
end
