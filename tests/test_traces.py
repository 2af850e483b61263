"""One payment is one trace: through HTTP, the sender, the books and the ledger's worker, in different processes."""

import gzip
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lastro.core import tracing
from lastro.core.testing import free_port
from lastro.core.testing.engine import READY_SECONDS, listens, running, until
from lastro.pix.model.ids import make_end_to_end_id


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


PAYER, PAYEE = "99990001", "99990002"


def test_one_pix_is_one_trace_and_the_callers_goes_on_in_it() -> None:
    """Submitted, accepted, held in the ledger, answered, settled, posted; each span's parent is the submission.

    The call comes with a ``traceparent``: of the request is a span in the caller's trace, linked with the payment's.
    """
    payment = make_end_to_end_id(PAYER, datetime.now(UTC), secrets.token_hex(8)[:11])
    caller, above = secrets.token_bytes(16), secrets.token_bytes(8)
    with (
        collector() as (url, spans),
        running(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="200") as engine,
        httpx.Client(base_url=f"{engine.url}/pix") as pix,
    ):
        for bank, cents in ((PAYER, 100_000), (PAYEE, 0)):
            given = {"id": "opening", "amount_cents": cents}
            assert pix.post(f"/participants/{bank}/funding", json=given).is_success
        sent = {"end_to_end_id": payment, "payer": PAYER, "payee": PAYEE, "amount": "12.50"}
        trace = {"traceparent": f"00-{caller.hex()}-{above.hex()}-01"}
        assert pix.post("/payments", json=sent, headers=trace).status_code == 202
        ours = tracing.trace_of(payment)

        def told(trace_id: bytes) -> dict[str, list[Span]]:
            found: dict[str, list[Span]] = {}
            for span in spans:
                if span.trace_id == trace_id:
                    found.setdefault(span.name, []).append(span)
            return found

        def names() -> dict[str, int]:
            return {name: len(each) for name, each in told(ours[0].to_bytes(16)).items()}

        until(lambda: names().get("pix.accept"), READY_SECONDS, "it is not accepted")
        answer = {"end_to_end_id": payment, "payee": PAYEE, "status": "ACSP", "reason": ""}
        assert pix.post("/answers", json=answer, headers={"traceparent": "unreadable"}).status_code == 202
        whole = {"pix.submit": 1, "pix.accept": 1, "pix.settle": 1, "ledger.post": 2}
        until(lambda: names() == whole, READY_SECONDS, f"incomplete: {names()}")
        until(lambda: told(caller), READY_SECONDS, "the caller's trace ends before us")
    root = told(ours[0].to_bytes(16))["pix.submit"][0]
    assert (root.span_id, root.parent_span_id) == (ours[1].to_bytes(8), b"")
    later = [span for name, each in told(ours[0].to_bytes(16)).items() if name != "pix.submit" for span in each]
    assert {span.parent_span_id for span in later} == {root.span_id}
    ((request,),) = told(caller).values()
    assert (request.name, request.parent_span_id) == ("http.request", above)
    assert [(link.trace_id, link.span_id) for link in root.links] == [(caller, request.span_id)]
    assert [(link.trace_id, link.span_id) for link in request.links] == [(root.trace_id, root.span_id)]


def test_without_an_endpoint_nothing_is_recorded_nor_costs() -> None:
    tracing.start()
    assert tracing.now() == 0
    assert tracing.go_on(b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01", "GET", "/") is None
    tracing.record("nothing", "x", tracing.now(), root=True)
    tracing.stop()
