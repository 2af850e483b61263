-- Write the record of one key, if it still is what was decided upon.
--   KEYS[1] api_keys  hash, id → record
--   ARGV[1] key_id
--   ARGV[2] before    the record that was read; empty: there was none
--   ARGV[3] after     the new record; empty: the key is deleted
--   ARGV[4] keys_max  so many keys there may be
--   returns the first that applies:
--     "changed"  somebody else was faster; nothing happened
--     "full"     there are keys_max already; nothing happened
--     "ok"       it is written
local api_keys, key_id, before, after, keys_max = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = redis.call("HGET", api_keys, key_id) or ""
if now ~= before then
  return "changed"
end
if after == "" then
  redis.call("HDEL", api_keys, key_id)
  return "ok"
end
if now == "" and redis.call("HLEN", api_keys) >= keys_max then
  return "full"
end
redis.call("HSET", api_keys, key_id, after)
return "ok"
