-- The clock that decides: that of the server which has the engine's keys.
--   KEYS[1] payments      any of the engine's keys; it names the server
--   returns milliseconds since 1970
--   flags  no-writes
-- @include "parts/batch.lua"
return now_ms()
