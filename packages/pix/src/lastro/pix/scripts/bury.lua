-- Move entries nobody can process from their stream to the dead letters, each once.
--   KEYS[1] source        stream they are pending in
--   KEYS[2] dead          stream
--   KEYS[3] counters      hash, outcome -> count
--   ARGV[1] group
--   ARGV[2] dead_max      the oldest dead letters beyond this go
--   ARGV[3..] items       five each: entry_id, code, reason, deliveries, fields (JSON)
--   returns how many were buried; those another worker handled meanwhile are left alone
--   writes {source, entry_id, code, reason, deliveries, fields} to dead
--   flags  allow-oom
local call = redis.call
local buried = 0
for at = 3, #ARGV, 5 do
  if call("XACK", KEYS[1], ARGV[1], ARGV[at]) == 1 then
    call("XADD", KEYS[2], "MAXLEN", "~", ARGV[2], "*", "source", KEYS[1], "entry_id", ARGV[at], "code", ARGV[at + 1],
      "reason", ARGV[at + 2], "deliveries", ARGV[at + 3], "fields", ARGV[at + 4])
    call("XDEL", KEYS[1], ARGV[at])
    buried = buried + 1
  end
end
if buried > 0 then
  call("HINCRBY", KEYS[3], "dead", buried)
end
return buried
