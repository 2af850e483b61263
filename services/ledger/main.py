"""The ledger service: one domain, one process."""

from lastro.core.app import create_app
from lastro.core.plugins import installed
from lastro.core.settings import Settings

app = create_app(installed("lastro.routers", "ledger"), Settings.read())
