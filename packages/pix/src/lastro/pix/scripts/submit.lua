-- Put messages of one sender into their stream if it has the tokens and the engine is not behind.
--   KEYS[1] messages      stream
--   KEYS[2] tokens        string, the ms at which the sender's bucket is full again; lives until then
--   ARGV[1] lag_max       entries that may wait in the stream
--   ARGV[2] capacity      tokens in a full bucket
--   ARGV[3] per_second    tokens that come back
--   ARGV[4] field         what a message is called in its entry
--   ARGV[5] price         tokens for one message, in hundredths
--   ARGV[6..] bodies      one message each
--   returns the first that applies:
--     {"busy"}            the stream is too long
--     {"wait", ms}        the bucket has too few tokens before that
--     {"taken", id, ..}   the entries, in order
--   writes {field} to messages
-- @include "parts/batch.lua"
local count = #ARGV - 5
if call("XLEN", KEYS[1]) + count > ARGV[1] + 0 then
  return { "busy" }
end
local now = now_ms()
local full = math.max(now, tonumber(call("GET", KEYS[2]) or 0)) + count * ARGV[5] * 10 / ARGV[3]
local wait = full - now - ARGV[2] * 1000 / ARGV[3]
if wait > 0 then
  return { "wait", math.ceil(wait) }
end
call("SET", KEYS[2], string.format("%.2f", full), "PX", whole(math.ceil(full - now) + 1))
local answer = { "taken" }
for i = 6, #ARGV do
  answer[i - 4] = call("XADD", KEYS[1], "*", ARGV[4], ARGV[i])
end
return answer
