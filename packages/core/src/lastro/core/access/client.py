"""Our own HTTP clients, as an engine's settings ask for: with its key, over its TLS."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastro.core.settings import Settings

if TYPE_CHECKING:
    import httpx


def client(settings: Settings, url: str, **options: Any) -> "httpx.AsyncClient":
    """Make a client of the services of this engine."""
    import httpx

    key = own_key(settings)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=url, headers=headers, verify=trusting(settings.tls_certificate), **options)


def own_key(settings: Settings) -> str:
    """Give the key that our clients send; empty without one. It goes into a header and nowhere else."""
    return settings.api_key.get_secret_value() if settings.api_key is not None else ""


def trusting(certificate: Path | None) -> ssl.SSLContext | bool:
    """Trust the engine's own certificate, and it alone, whoever signed it and whatever name it has."""
    if certificate is None:
        return True
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
