"""Brazil's instant payments, each settled exactly once."""
