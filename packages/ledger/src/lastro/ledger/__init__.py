"""Double-entry accounts and transfers with TigerBeetle's exact semantics."""
