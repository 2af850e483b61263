"""The background work of payments."""
