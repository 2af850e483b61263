-- The stream of payments that came to their end, for other domains: keys.py says what each field is.
-- final_add(final, final_max, values): append one; id, state, processor, cents, fee, requested_at_ms, reference, reason.
local function final_add(final, final_max, values)
  local id, state, processor, amount, fee, at, reference, reason = unpack(values)
  redis.call(
    "XADD", final, "MAXLEN", "~", final_max, "*",
    "correlation_id", id, "state", state, "processor", processor, "amount_cents", amount, "fee_cents", fee,
    "requested_at_ms", at, "reference", reference, "reason", reason
  )
end
