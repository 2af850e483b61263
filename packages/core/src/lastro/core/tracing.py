"""Optional OpenTelemetry traces: one act is one trace, through HTTP, streams and workers of any process.

The trace id is made from the act's own id (a UUID is its trace id, of any other the SHA-256), so nothing travels with
the messages and nothing is stored: whoever works on an act knows its trace. The first span, of whoever took the act in,
is the root; every later one is its child. A caller's trace (W3C's ``traceparent``) goes on in a span of the request,
linked with the root of the act that it brings. Off unless ``OTEL_EXPORTER_OTLP_ENDPOINT`` says where to: then the extra
``otel`` must be installed, and OpenTelemetry's own variables apply (``OTEL_SERVICE_NAME`` and its like).

    began = tracing.now()
    …
    tracing.record("payments.charge", correlation_id, began, processor="default")
"""

import os
import re
import time
from contextvars import ContextVar
from hashlib import sha256
from typing import TYPE_CHECKING

from lastro.core.errors import Misconfigured

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_uuid = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch
_provider: "TracerProvider | None" = None
_root: tuple[int, int] | None = None
_request: ContextVar["Span | None"] = ContextVar("request", default=None)
"""The span that goes on with the trace of who calls; of this request, which is a task."""


def trace_of(act_id: str) -> tuple[int, int]:
    """Trace id and root span id of an act."""
    digest = sha256(act_id.encode()).digest()
    trace = int(act_id.replace("-", ""), 16) if _uuid(act_id) else int.from_bytes(digest[:16])
    return trace, int.from_bytes(digest[16:24])


def now() -> int:
    """When a span begins, in ns since 1970; 0 while nobody traces."""
    return time.time_ns() if _provider else 0


def go_on(traceparent: bytes, method: str, path: str) -> "Span | None":
    """Go on with the trace of who calls: a span in it, to be ended with the request; None while nobody traces.

    A header that cannot be read is none, as W3C has it.
    """
    if _provider is None:
        return None
    from opentelemetry.trace import SpanKind, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    above = TraceContextTextMapPropagator().extract({"traceparent": traceparent.decode("latin-1")})
    if not get_current_span(above).get_span_context().is_valid:
        return None
    about = {"http.request.method": method, "url.path": path}
    span = _provider.get_tracer("lastro").start_span("http.request", above, kind=SpanKind.SERVER, attributes=about)
    _request.set(span)
    return span


def record(name: str, act_id: str, began: int, *, root: bool = False, **about: str | int) -> None:
    """A span of this act, from ``began`` until now; nothing while nobody traces."""
    if _provider is None or not began:
        return
    from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    global _root  # noqa: PLW0603  # read by Ids within the call below, on this thread
    trace, span = trace_of(act_id)
    parent = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    above = None if root else set_span_in_context(NonRecordingSpan(parent))
    request = _request.get() if root else None
    links = [Link(request.get_span_context())] if request else []
    _root = (trace, span) if root else None
    opened = _provider.get_tracer("lastro").start_span(
        name, above, start_time=began, attributes={"act": act_id, **about}, links=links
    )
    _root = None
    if request:
        request.add_link(opened.get_span_context())
    opened.end()


def start() -> None:
    """Begin to trace, if the environment says where to; once per process, after it forked. Raises Misconfigured."""
    global _provider  # noqa: PLW0603  # a process has one, as it has one environment
    if not os.environ.get(ENDPOINT):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    except ImportError:
        raise Misconfigured(setting=ENDPOINT, reason="needs the extra: pip install lastro-core[otel]") from None

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _root[0] if _root else super().generate_trace_id()

        def generate_span_id(self) -> int:
            return _root[1] if _root else super().generate_span_id()

    name = os.environ.get("OTEL_SERVICE_NAME", "lastro")
    _provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}), id_generator=Ids())
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


def stop() -> None:
    """Send what was recorded; nothing is recorded after that."""
    global _provider  # noqa: PLW0603  # likewise
    if _provider is not None:
        _provider.shutdown()
        _provider = None
