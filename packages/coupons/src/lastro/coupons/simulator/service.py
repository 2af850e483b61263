"""The API alone, as ``services/coupons`` runs it: ``uvicorn --factory lastro.coupons.simulator.service:app``."""

from fastapi import FastAPI

from lastro.core.app import create_app
from lastro.core.plugins import installed
from lastro.core.settings import Settings


def app() -> FastAPI:
    """One process of it."""
    return create_app(installed("lastro.routers", "coupons"), Settings.read())
