"""One payment is one trace: through HTTP, the sender, the books and the ledger's worker, in different processes."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lastro.core import tracing
from lastro.core.testing import free_port
from lastro.core.testing.engine import READY_SECONDS, listens, running, until


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """What understands OTLP over HTTP, and what it was told."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            told = ExportTraceServiceRequest.FromString(body)
            spans.extend(span for one in told.resource_spans for scope in one.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    server.server_close()


def test_one_payment_is_one_trace_in_every_process_it_passes() -> None:
    port, payment = free_port(), str(uuid4())
    processor = f"http://127.0.0.1:{port}"
    lastro = str(Path(sys.executable).parent / "lastro")
    with (
        subprocess.Popen([lastro, "payments", "processor", "--port", str(port)]) as playing,
        collector() as (url, spans),
        running(
            PROCESSOR_DEFAULT_URL=processor,
            PROCESSOR_FALLBACK_URL=processor,
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_BSP_SCHEDULE_DELAY="200",
        ) as engine,
    ):
        until(
            lambda: listens(port), READY_SECONDS, "no processor"
        )  # a charge that finds none is made again, and told twice
        sent = {"correlationId": payment, "amount": 19.90}
        assert httpx.post(f"{engine.url}/payments", json=sent).status_code == 201
        assert httpx.post(f"{engine.url}/payments", json=sent).status_code == 201  # again: no second root
        ours = tracing.trace_of(payment)

        def trace() -> list[Span]:
            return [span for span in spans if span.trace_id == ours[0].to_bytes(16)]

        def names() -> list[str]:
            return sorted(span.name for span in trace())

        told = ["ledger.post", "ledger.post", "payments.accept", "payments.charge", "payments.commit"]
        until(lambda: names() == told, READY_SECONDS, f"incomplete: {names()}")
        roots = [span for span in trace() if not span.parent_span_id]
        assert [(span.name, span.span_id) for span in roots] == [("payments.accept", ours[1].to_bytes(8))]
        assert {span.parent_span_id for span in trace()} == {b"", ours[1].to_bytes(8)}
        playing.terminate()


def test_without_an_endpoint_nothing_is_recorded_nor_costs() -> None:
    tracing.start()
    assert tracing.now() == 0
    tracing.record("nothing", "x", tracing.now(), root=True)
    tracing.stop()
