--!df flags=allow-undeclared-keys
-- Create one transfer, once.
-- Keys are built from the ids in the arguments, inside the keyspace's hash tag: keys.py says which and what they hold.
--   KEYS[1..] keyspace  the prefix of the ledger's keys, with its hash tag, or none for the bare prefix
--   ARGV[1] events  a record of 128 bytes, or a JSON object
--   ARGV[2..] options  bits (see parts/transfers.lua), then metadata
--   returns a record (timestamp u64, code u32, 0 u32) or JSON with "result"; codes are TransferCode, 0 is created
--     or error BADINPUT names the field that makes no sense; nothing changed
-- @include "parts/keyspace.lua"
-- @include "parts/plain.lua"
local function decide_transfer()
-- @include "parts/transfers.lua"
  if #ARGV == 1 and #ARGV[1] ~= 128 then
    local face = json_face()
    local record, _, fault, notes = face.read_events(ARGV[1], "transfer", true)
    local answer = not fault and not notes[1] and plain_transfer(record, PREFIX)
    if answer then
      return face.answer({ 0 }, { sub(answer, 1, 8) }, nil, "transfer", true)
    end
  end
  return (create_transfers(ARGV[1], true, tonumber(ARGV[2] or 0)))
end
return #ARGV[1] == 128 and #ARGV == 1 and plain_transfer(ARGV[1], PREFIX) or decide_transfer()
