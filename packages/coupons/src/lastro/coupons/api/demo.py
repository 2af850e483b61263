"""The page of the crowd: press, and know at once."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

PAGE = files("lastro.coupons.api").joinpath("demo.html").read_text(encoding="utf-8")
router = APIRouter()


def _inline(tag: str) -> str:
    """The hash of the page's one element of this kind: what a browser may run, and nothing that somebody put beside."""
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; connect-src 'self'; script-src {_inline('script')}; style-src {_inline('style')}; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@router.get("/demo", response_class=HTMLResponse, include_in_schema=False)
async def demo() -> HTMLResponse:
    """A client that behaves, in a browser."""
    return HTMLResponse(PAGE, headers={"content-security-policy": POLICY})
