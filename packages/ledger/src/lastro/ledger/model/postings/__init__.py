"""What other domains' streams tell, as double entry: one module per domain."""
