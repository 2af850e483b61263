-- Requests in JSON and their answers, made when one comes.
local function json_face()
-- @include "parts/decimal.lua"
-- @include "parts/json.lua"
-- @include "parts/fields.lua"
-- @include "parts/metadata.lua"
-- @include "parts/input.lua"
-- @include "parts/names.lua"
-- @include "parts/answer.lua"
  return { read_events = read_events, answer = answer_json }
end
