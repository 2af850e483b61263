"""Payments through two unreliable processors: always taken, sent once, accounted to the cent."""
