-- Messages to participants, and which outboxes got one.
local told = {}

-- One message to a participant. Every message has the same fields, in one order: a stream then stores their names once.
local function tell(outbox, message, id, status, reason, cents, body)
  told[outbox] = true
  call("XADD", outbox, "*", "message", message, "id", id, "status", status, "reason", reason,
    "amount_cents", cents, "body", body)
end

-- Remember which outboxes there are: whoever trims, checks and shows them need not scan the key space.
local function remember_told(backends)
  for outbox in pairs(told) do
    call("SADD", backends, outbox)
  end
end
