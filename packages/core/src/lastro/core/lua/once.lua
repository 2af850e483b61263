-- Effect once by operation id: the id is stored with its result, in the slot of the effect, in the same script.
-- once_told(key): the stored result of an earlier call, or false.
local function once_told(key)
  return redis.call("GET", key)
end

-- once_store(key, result, life_ms): remember the result for a repeat; life_ms is at least the longest retry window.
local function once_store(key, result, life_ms)
  redis.call("SET", key, result, "PX", life_ms)
  return result
end
