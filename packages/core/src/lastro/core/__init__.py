"""What every domain stands on: scripts, streams, workers, settings, metrics, errors, web, command line."""
