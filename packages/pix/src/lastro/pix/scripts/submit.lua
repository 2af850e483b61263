-- Put payments into their stream if their sender has the tokens and the engine is not behind.
--   KEYS[1] payments      stream
--   KEYS[2] tokens        string, the ms at which the sender's bucket is full again; lives until then
--   ARGV[1] lag_max       entries that may wait in the stream
--   ARGV[2] capacity      tokens in a full bucket
--   ARGV[3] per_second    tokens that come back
--   ARGV[4..] bodies      one payment each, a token each
--   returns the first that applies:
--     {"busy"}            the stream is too long
--     {"wait", ms}        the bucket has too few tokens before that
--     {"taken", id, ..}   the entries, in order
--   writes {payment} to payments
-- @include "parts/batch.lua"
local count = #ARGV - 3
if call("XLEN", KEYS[1]) + count > ARGV[1] + 0 then
  return { "busy" }
end
local now = now_ms()
local full = math.max(now, tonumber(call("GET", KEYS[2]) or 0)) + count * 1000 / ARGV[3]
local wait = full - now - ARGV[2] * 1000 / ARGV[3]
if wait > 0 then
  return { "wait", math.ceil(wait) }
end
call("SET", KEYS[2], whole(math.ceil(full)), "PX", whole(math.ceil(full - now) + 1))
local answer = { "taken" }
for i = 4, #ARGV do
  answer[i - 2] = call("XADD", KEYS[1], "*", "payment", ARGV[i])
end
return answer
