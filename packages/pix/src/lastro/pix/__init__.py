"""Brazil's instant payments: every payment settled exactly once, by the SPI's rules, on Redis Streams."""
