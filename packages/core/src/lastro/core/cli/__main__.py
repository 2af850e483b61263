"""``python -m lastro.core.cli`` is ``lastro``."""

from lastro.core.cli import main

main()
