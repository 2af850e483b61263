-- The prefix of all keys. Without a hash tag they are in many slots, which a server in cluster mode cannot serve: say so
-- before a key is touched (Valkey 9.1.2 refuses every later script after one that named keys of two slots).
local PREFIX = KEYS[1] or ""
if not PREFIX:find("{[^}]") then
  local info = redis.pcall("INFO", "cluster")
  if type(info) == "string" and info:find("cluster_enabled:1", 1, true) then
    return redis.error_reply("BADINPUT keyspace must be given, with a hash tag: this server is in cluster mode")
  end
end
