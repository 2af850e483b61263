"""The ledger's background work."""
