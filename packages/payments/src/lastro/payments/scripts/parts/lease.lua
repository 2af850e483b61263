-- lease_over(till, now, lease_ms): whether this owner's time is up. One that reaches further than any lease was given by a
-- clock that has been put back since; two leases' worth of it is let pass, for clocks that are only being adjusted.
local function lease_over(till, now, lease_ms)
  till = tonumber(till or 0)
  return till < now or till > now + 2 * lease_ms
end
