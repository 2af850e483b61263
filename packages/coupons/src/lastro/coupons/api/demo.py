"""The page of the crowd: press, and know at once."""

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()


@router.get("/demo", response_class=HTMLResponse, include_in_schema=False)
async def demo() -> HTMLResponse:
    """A client that behaves, in a browser."""
    page = files("lastro.coupons.api").joinpath("demo.html").read_text(encoding="utf-8")
    return HTMLResponse(page, headers={"content-security-policy": "default-src 'self' 'unsafe-inline'"})
