-- Write winners that Redis has lost; who is there stays as it is.
--   KEYS[1] participants  hash winner -> record
--   KEYS[2] meta          hash; its seq is at least theirs afterwards, its gen another if one was not there
--   ARGV[1] seq           the highest of theirs
--   ARGV[2..] winners     winner, record, …; at most 1,000 pairs
--   returns how many were not there
local participants, meta, seq = KEYS[1], KEYS[2], ARGV[1]
local restored = 0
for at = 2, #ARGV, 2 do
  restored = restored + redis.call("HSETNX", participants, ARGV[at], ARGV[at + 1])
end
if tonumber(seq) > tonumber(redis.call("HGET", meta, "seq") or 0) then
  redis.call("HSET", meta, "seq", seq)
end
if restored > 0 then
  redis.call("HINCRBY", meta, "gen", 1) -- who answers "sold out" from memory knows them as too late
end
return restored
