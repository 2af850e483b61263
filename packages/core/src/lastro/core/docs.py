"""The routes' own page, ``/docs``: FastAPI's, with Swagger UI from here, since nothing is loaded from elsewhere."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from lastro.core.errors import NotFound

FILES = Path(str(files("fastapi_offline"))) / "static"
KINDS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
INLINE = "'self' 'unsafe-inline'"
HEADERS = {
    "content-security-policy": f"default-src 'self'; script-src {INLINE}; style-src {INLINE}; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'"
}
"""Its page begins with a script of its own."""

router = APIRouter(include_in_schema=False)


class NoSuchFile(NotFound):
    """The page of the routes has no file {name}."""

    code = "docs.no_such_file"


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """The page."""
    shown = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{request.app.title}: routes",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )
    shown.headers.update(HEADERS)
    return shown


@router.get("/docs/{name}")
async def part(name: str) -> FileResponse:
    """What the page needs."""
    if name not in KINDS:
        raise NoSuchFile(name=name)
    return FileResponse(FILES / name, media_type=KINDS[name], headers={"cache-control": "public, max-age=86400"})
