-- A record reads
--   <A accepted, S settled, R rejected, X expired, C confirmed> cents payer payee received_ms
--   then, in ms after received: accepted, due, final; then code and who said it
-- An archived one is lower case and has only cents and payee left.
-- Gives back state, cents, payer ("" of an archived one), payee, received, accepted, due.
local function split(record)
  local state, cents, payee = record:match("^(%l) (%d+) (%S+)")
  if state then
    return state, cents, "", payee
  end
  return record:match("^(%u) (%d+) (%S+) (%S+) (%d+) (%d+) (%d+)")
end
