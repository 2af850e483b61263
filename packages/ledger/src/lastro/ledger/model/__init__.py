"""What the ledger talks about. Pure: no Redis, no clock, no I/O."""
