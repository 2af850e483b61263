"""Shared Lua fragments, spliced into scripts by ``-- @include``: two callers before sharing."""
