--!df flags=allow-undeclared-keys
-- Create transfers; linked ones all or nothing, each chain by itself.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] events  records of 128 bytes, or a JSON array; at most 8,189
--   ARGV[2..] options  bits (see parts/transfers.lua), then metadata
--   returns per event a record (timestamp u64, code u32, 0 u32) or JSON with "result"; codes are TransferCode, 0 is created
--     or error BADINPUT names the event and the field that makes no sense; nothing changed
--     or error ARCHIVED names a segment of the log that is in the archive alone; nothing changed
--     of records, those done before such a one is needed: ask again for the others
-- @include "parts/keyspace.lua"
-- @include "parts/plain_batch.lua"
local function decide_transfers(events, options, going_on)
-- @include "parts/transfers.lua"
  return (create_transfers(events, false, options, going_on))
end
local CHUNK = 64 -- events: what they touch stays in the processor's cache between reading and writing
local events, options, done, answers = ARGV[1], tonumber(ARGV[2] or 0), 0, {}
local count = #events / 128
if count % 1 == 0 and count <= 8189 and #ARGV <= 2 and (options == 0 or options == 4) then
  while done < count do
    local answer = plain_transfers(events, done, math.min(done + CHUNK, count), PREFIX)
    if not answer then
      break
    end
    answers[#answers + 1], done = answer, math.min(done + CHUNK, count)
  end
end
if done == 0 then
  return decide_transfers(events, options, false)
elseif done < count then
  local whole, rest = pcall(decide_transfers, events:sub(done * 128 + 1), 4, true) -- 4: it began without an import
  if not whole and not tostring(rest):find("ARCHIVED") then
    error(rest)
  end
  answers[#answers + 1] = whole and rest or nil -- without: what was done is told, the caller asks again for the rest
end
return table.concat(answers)
