"""Pix's background work."""
