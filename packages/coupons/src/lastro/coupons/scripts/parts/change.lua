-- A change of an event, told to the database through its stream.
-- changed(meta, events): count it, and let no process go on saying "sold out" without asking.
local function changed(meta, events)
  redis.call("XADD", events, "*", "changed", redis.call("HINCRBY", meta, "version", 1))
  redis.call("HINCRBY", meta, "gen", 1)
end
