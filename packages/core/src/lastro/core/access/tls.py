"""A certificate that is replaced on disk is used for the next connection, without a restart."""

import asyncio
import ssl
from pathlib import Path

import structlog

LOOK_SECONDS = 2.0

log = structlog.get_logger()


async def renew(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Look for new files again and again until cancelled; those that do not fit together change nothing."""
    seen = _stamps(certificate, key)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = _stamps(certificate, key)
        if now == seen:
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)  # a failed load spoils a context
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:  # half written: the next look finds it whole
            log.warning("tls.not_renewed", certificate=str(certificate), reason=str(error))
            continue
        seen = now
        log.info("tls.renewed", certificate=str(certificate))


def _stamps(*paths: Path) -> tuple[int, ...]:
    """When each was last written; 0 while it is away, as during a rename."""
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)
