-- The record of a payment: state|cents|processor|requested_at_ms|attempts|reference|owner, reason or fee. One that is
-- queued has no processor, and in the place of requested_at_ms since when it waits; one that was claimed from the queue
-- has owner@since.
-- record_parts(text): its seven fields, or nothing when there is none.
local function record_parts(text)
  if not text then
    return nil
  end
  return string.match(text, "^([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$")
end

-- record_of(known, id): the record stored under this id, in its parts.
local function record_of(known, id)
  return record_parts(redis.call("HGET", known, id))
end

-- record_holder(note): the owner of one in flight, and since when it had waited, or nothing when it never did.
local function record_holder(note)
  local owner, since = string.match(note, "^([^@]*)@(.*)$")
  return owner or note, since
end

-- record_text(…): all seven as they are stored.
local function record_text(...)
  return table.concat({ ... }, "|")
end

-- record_now(): server time in ms, as an integer string.
local function record_now()
  local now = redis.call("TIME")
  return now[1] .. string.format("%03d", math.floor(now[2] / 1000))
end
