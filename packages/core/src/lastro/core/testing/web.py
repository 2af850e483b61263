"""A real web server for a test, in the test's own loop."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, cached_property
from typing import Any

import httpx
import uvicorn
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types of its own
from starlette.types import ASGIApp

from lastro.core.app import App, Server
from lastro.core.edge import PROBLEM
from lastro.core.plugins import plugs
from lastro.core.testing import wait_for
from lastro.core.wire import Bounded

ANSWER_SECONDS = 30.0
BUG = 500
OFF = frozenset({401, 403, 405, 429})
"""Of the gate, which may be off, and of no route."""


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind uvicorn on a free port, and a client to it: nothing is answered in a way it hides."""
    # as the services
    quiet: dict[str, Any] = {"http": Bounded, "log_config": None, "access_log": False, "proxy_headers": False}
    server = Server(uvicorn.Config(app, port=0, timeout_graceful_shutdown=2, **quiet))
    serving = asyncio.create_task(server.serve())
    try:
        await wait_for(lambda: server.started or serving.done(), "the web server")
        hooks: dict[str, list[Callable[..., Any]]] = {"response": [_Documented(app)]} if isinstance(app, App) else {}
        async with httpx.AsyncClient(base_url=server.url, timeout=ANSWER_SECONDS, event_hooks=hooks) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


class _Documented:
    """Every refusal of an installed domain stands in the document of its route, and every JSON answer is of its form.

    Of the form as it is written: a member that the document does not name is a failure, too.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.checked = cache(self._checked)

    @cached_property
    def document(self) -> dict[str, Any]:
        """As it was when the first answer came."""
        return self.app.openapi()

    async def __call__(self, answer: httpx.Response) -> None:
        path, method = answer.request.url.path, answer.request.method.lower()
        domain = self.app.gate.domains.get(path.split("/", 2)[1])
        told = self._told(path, method)
        kind = answer.headers.get("content-type")
        if kind == PROBLEM and domain in plugs("lastro.routers"):
            if answer.status_code not in OFF and answer.status_code < BUG:
                assert not told or any(str(answer.status_code) in one["responses"] for _, one in told), (
                    f"{method} {path}: {answer.status_code}"
                )
        elif kind == "application/json" and answer.is_success:
            body = await answer.aread()  # of 204 FastAPI says that it is JSON, too
            for template, one in told:
                if body and "tags" in one:  # a test's own route has none
                    self.checked(template, method, str(answer.status_code)).validate(answer.json())

    def _told(self, path: str, method: str) -> list[tuple[str, dict[str, Any]]]:
        found = [
            (template, item[method])
            for template, item in self.document["paths"].items()
            if method in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        ]
        least = min((template.count("{") for template, _ in found), default=0)  # /dead is no id, to the router neither
        return [one for one in found if one[0].count("{") == least]

    def _checked(self, template: str, method: str, status: str) -> Draft202012Validator:
        told = self.document["paths"][template][method]["responses"]
        assert status in told, f"{method} {template}: {status}"
        schema = told[status]["content"]["application/json"]["schema"]
        return Draft202012Validator(closed({**schema, "components": self.document["components"]}))


def closed(schema: Any) -> Any:
    """A schema whose objects have no members but those they name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: closed(one) for name, one in schema.items()}
    return {"additionalProperties": False, **inside} if isinstance(schema.get("properties"), dict) else inside
