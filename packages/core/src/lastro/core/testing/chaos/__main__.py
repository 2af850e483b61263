"""One worker process."""

import sys

from lastro.core.testing.chaos import main

main(*sys.argv[1:])
