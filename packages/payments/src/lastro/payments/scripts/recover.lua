-- @include "parts/record.lua"
-- @include "parts/lease.lua"
-- Take over what a dead process had claimed: each is of unknown outcome and stays at its processor.
--   KEYS[1] owners  hash owner -> until when (ms)
--   KEYS[2] known   hash id -> record
--   KEYS[3] theirs  set of the dead owner's ids
--   KEYS[4] mine    set of this owner's ids
--   ARGV[1] dead
--   ARGV[2] owner
--   ARGV[3] lease_ms
--   ARGV[4] count   at most 500
--   flags  allow-oom
--   returns a flat list id, cents, processor, requested_at_ms, attempts, …; empty when the other lives after all, or
--     this owner's own lease is over: nobody would look for what it took
local owners, known, theirs, mine, dead, owner = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2]
local now = tonumber(record_now())
local lives = not lease_over(redis.call("HGET", owners, dead), now, tonumber(ARGV[3]))
if lives or tonumber(redis.call("HGET", owners, owner) or 0) < now then
  return {}
end
local taken = {}
for _, id in ipairs(redis.call("SRANDMEMBER", theirs, ARGV[4])) do
  local state, amount, processor, at, attempts, reference, note = record_of(known, id)
  redis.call("SREM", theirs, id)
  if state == "in_flight" then
    local _, since = record_holder(note)
    local holder = since and owner .. "@" .. since or owner
    redis.call("HSET", known, id, record_text(state, amount, processor, at, attempts, reference, holder))
    redis.call("SADD", mine, id)
    for _, value in ipairs({ id, amount, processor, at, attempts }) do
      taken[#taken + 1] = value
    end
  end
end
if redis.call("SCARD", theirs) == 0 then
  redis.call("HDEL", owners, dead)
end
return taken
