"""The routes' own page, ``/docs``: FastAPI's, with Swagger UI from here, since nothing is loaded from elsewhere.

And what a route says of itself where FastAPI cannot see it: how it refuses, and a body that msgspec reads.
"""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import Field
from typing_extensions import TypedDict  # of typing's pydantic reads none before 3.12

from lastro.core.errors import LastroError, NotFound

FILES = Path(str(files("fastapi_offline"))) / "static"
KINDS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
INLINE = "'self' 'unsafe-inline'"
HEADERS = {
    "content-security-policy": f"default-src 'self'; script-src {INLINE}; style-src {INLINE}; img-src 'self' data:; "
    "base-uri 'none'; frame-ancestors 'none'"
}
"""Its page begins with a script of its own."""

Described = dict[str, Any]
Responses = dict[int | str, Described]
MINUTE = "%MINUTE%"
"""In an example: the UTC minute in which somebody reads it, as yyyyMMddHHmm."""

router = APIRouter(include_in_schema=False)


class Replayed(TypedDict):
    """What became of a dead letter."""

    replayed: Annotated[bool, Field(description="it went back now; false: somebody else was faster")]


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


def refuses(*errors: type[LastroError]) -> Responses:
    """``responses`` of a route that says no like this, besides the ways that all have."""
    said: dict[int, list[str]] = {}
    for error in errors:
        said.setdefault(error.status, []).append(f"`{error.code}`: {error.sentence()}")
    return {status: refusal("\n\n".join(each)) for status, each in said.items()}


def refusal(why: str) -> Described:
    """One response that says no."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": why, "content": {"application/problem+json": {"schema": schema}}}


def media(kind: str) -> Responses:
    """``responses`` of a route that answers something else than JSON."""
    return {200: {"description": "As it is.", "content": {kind: {"schema": {"type": "string"}}}}}


def schema_of(kind: type[msgspec.Struct]) -> Described:
    """The JSON schema of a struct that has no other inside."""
    _, found = msgspec.json.schema_components([kind])
    schema: Described = found[kind.__name__]
    return schema


def body(schema: Described, example: object = None, kind: str = "application/json") -> Described:
    """``openapi_extra`` of a route that reads its body by itself."""
    content = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {"requestBody": {"required": True, "content": {kind: content}}}
