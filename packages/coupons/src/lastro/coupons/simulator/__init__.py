"""The outside world: a client that behaves, a crowd, a rush, and who checks what the rush saw."""
