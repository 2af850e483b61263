-- What moved on the books, for whoever keeps their own: one entry a call, a field for each kind of movement, a line
-- "cents payer payee id" for each of them.
local MOVEMENTS_MAX = 100000 -- entries; far behind is who has not read that many batches: check names what is missing
local moves = {}

local function move(kind, cents, payer, payee, id)
  local lines = moves[kind] or {}
  moves[kind] = lines
  lines[#lines + 1] = cents .. " " .. payer .. " " .. payee .. " " .. id
end

-- Append them; the key was seen to be a stream before the first write.
local function publish_moves(stream)
  local fields = {}
  for kind, lines in pairs(moves) do
    fields[#fields + 1] = kind
    fields[#fields + 1] = table.concat(lines, "\n")
  end
  if #fields > 0 then
    call("XADD", stream, "MAXLEN", "~", MOVEMENTS_MAX, "*", unpack(fields))
  end
end
