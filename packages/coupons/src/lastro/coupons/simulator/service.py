"""The API alone, as ``services/coupons`` runs it: ``uvicorn --factory lastro.coupons.simulator.service:app``."""

from fastapi import FastAPI

from lastro.core.app import create_app, settle
from lastro.core.plugins import installed
from lastro.core.settings import Settings


def app() -> FastAPI:
    """One process of it."""
    made = create_app(installed("lastro.routers", "coupons"), Settings.read())
    settle()
    return made
