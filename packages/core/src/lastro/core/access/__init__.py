"""Who may ask what: keys, what they open, and the gate that every request passes.

A key is a random secret that its owner sends as ``Authorization: Bearer …``, as ``X-Api-Key`` or, from a browser, as
the password of HTTP Basic. The store has its SHA-256 alone. What it opens are scopes: ``pix:read``, ``ledger:*``,
``admin``; ``pix:participant=12345678`` narrows all that it may do in Pix to that participant (`routes`).
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from pydantic import SecretStr

from lastro.core.errors import Misconfigured
from lastro.core.settings import Environment, Settings, variables

from .model import EVERYTHING, Bounds, Grant

GRANT = "lastro.grant"
"""Where the gate leaves the grant of a request, in its ASGI scope."""


def bounds(scope: Any, domain: str) -> Bounds:
    """What a request may see of a domain: everything, where keys are off or the key is not narrowed."""
    grant: Grant | None = scope.get(GRANT)
    return EVERYTHING if grant is None else grant.bounds_of(domain)


def is_local(host: str) -> bool:
    """Whether nobody outside of this machine reaches this address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_exposed(settings: Settings, domains: Iterable[type[Environment]] = ()) -> None:
    """Raise Misconfigured when the services would be open to a network without keys or TLS and nobody said so.

    Neither may a domain's secret be the one that it comes with.
    """
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise Misconfigured(setting="LASTRO_TLS_CERTIFICATE, LASTRO_TLS_KEY", reason="one needs the other")
    for path in (settings.tls_certificate, settings.tls_key):
        if path is not None and not path.is_file():
            raise Misconfigured(setting="LASTRO_TLS_CERTIFICATE, LASTRO_TLS_KEY", reason=f"there is no file {path}")
    if settings.http_socket or is_local(settings.http_host):
        return
    if settings.api_keys == "auto":
        raise Misconfigured(
            setting="LASTRO_API_KEYS",
            reason=f"the services would answer anybody who reaches {settings.http_host}. Set it to on, and make keys "
            "with `lastro keys create`; or to off, if something in front of them asks who it is",
        )
    if settings.tls == "auto" and settings.tls_certificate is None:
        raise Misconfigured(
            setting="LASTRO_TLS",
            reason=f"keys and money would cross the network in the clear at {settings.http_host}. Name "
            "LASTRO_TLS_CERTIFICATE and LASTRO_TLS_KEY; or set it to off, if something in front of us does TLS",
        )
    for cls in domains:
        given = cls.read()
        for name, names in variables(cls).items():
            default = cls.model_fields[name].default
            if isinstance(default, SecretStr) and getattr(given, name) == default:
                raise Misconfigured(setting=names[0], reason="everybody knows the one it comes with: set your own")
