"""Payments and returns: submit, status, return, check."""

import random
import string
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from typer import Argument, Exit, Option, Typer, echo

from lastro.core.clock import iso
from lastro.core.errors import Invalid, field_of
from lastro.core.money import cents, decimal
from lastro.pix.engine import messages, orders, outbox, reconcile, refunds
from lastro.pix.engine.intake import backend, participant
from lastro.pix.engine.pix import Pix
from lastro.pix.errors import BadMessage, PaymentRefused
from lastro.pix.model import iso20022
from lastro.pix.model.ids import make_end_to_end_id, make_rtr_id
from lastro.pix.model.payment import Answer, Payment, Return
from lastro.pix.model.record import Record

from .act import act, line, show

RESPONSES_MAX = 500
_ALPHABET = string.digits + string.ascii_letters


def add(app: Typer) -> None:
    """Put these commands into a group."""
    for command in (submit, bulk, answer, status, responses, read, check):
        app.command()(command)
    app.command("return")(refund)


def submit(
    payer: Annotated[str, Argument(help="ISPB of the payer's institution")],
    payee: Annotated[str, Argument(help="ISPB of the receiver's institution")],
    amount: Annotated[str, Argument(help="like 123.45")],
    key: Annotated[str, Option(help="the receiver's Pix key")] = "",
    end_to_end_id: Annotated[str, Option("--id", help="of a payment to repeat; a new one without it")] = "",
) -> None:
    """Send one payment into the engine; its id is printed, and repeating it with that id pays once."""
    payer = participant(payer)
    name = end_to_end_id or make_end_to_end_id(payer, datetime.now(UTC), "".join(random.choices(_ALPHABET, k=11)))
    order = Payment(
        end_to_end_id=name,
        payer=payer,
        payee=payee,
        amount=decimal(cents(amount)),
        local_instrument="DICT" if key else "MANU",
        key=key,
    )
    before = act(lambda pix: orders.submit(pix, [order]))[0]
    echo(line(before) if before else name)


def bulk(path: Annotated[Path, Argument(help="one payment a line, as JSON; all of one payer and priority")]) -> None:
    """Send many payments: in parts that are taken whole or not at all; repeating a file pays once."""
    found = [_payment(number, line) for number, line in enumerate(_bytes(path).splitlines(), 1) if line.strip()]

    async def send(pix: Pix) -> int:
        before = 0
        for at in range(0, len(found), orders.BULK_MAX):
            before += sum(record is not None for record in await orders.submit(pix, found[at : at + orders.BULK_MAX]))
        return before

    echo(f"{len(found)} payments, {act(send)} of them known before")


def answer(
    end_to_end_id: Annotated[str, Argument(help="of the payment that was asked about")],
    payee: Annotated[str, Argument(help="ISPB of the receiver's institution")],
    refuse: Annotated[str, Option(help="a code, like AC03; it is accepted without one")] = "",
) -> None:
    """Answer for a receiver: ACSP, or RJCT with a code."""
    given = Answer(end_to_end_id=end_to_end_id, payee=payee, status="RJCT" if refuse else "ACSP", reason=refuse)
    act(lambda pix: orders.answer(pix, [given]))
    echo(f"{end_to_end_id}  {given.status} {refuse}".rstrip())


def responses(
    backend_id: Annotated[str, Argument(help="a backend of the original messages, or a participant")],
    after: Annotated[str, Option(help="the last id of the page before")] = "-",
    count: Annotated[int, Option(min=1, max=RESPONSES_MAX)] = 50,
    xml: Annotated[bool, Option("--xml", help="as the SPI's envelopes: pacs.008, pacs.002, pacs.004")] = False,  # noqa: FBT002
) -> None:
    """A page of a response stream, oldest first, a line of JSON each; nothing is taken away from its readers."""
    name = backend(backend_id)
    for message in act(lambda pix: outbox.page(pix, name, after, count)):
        envelope = iso20022.render(message.fields, to=name, entry_id=message.id) if xml else None
        echo((envelope or msgspec.json.encode({"id": message.id, **message.fields})).decode())


def status(
    payment_id: Annotated[str, Argument(help="EndToEndId or RtrId")],
    as_json: Annotated[bool, Option("--json", help="for scripts")] = False,  # noqa: FBT002
) -> None:
    """What became of a payment or return, step by step."""

    async def look(pix: Pix) -> tuple[Record, list[orders.Event]]:
        return await orders.status(pix, payment_id), await orders.timeline(pix, payment_id)

    record, events = act(look)
    if as_json:
        from lastro.pix.api.answers import Status, told

        show(Status(**told(record), timeline=events))
        return
    echo(line(record))
    for event in events:
        echo(f"  {iso(event.at_ms)}  {event.what:<9} {event.detail}")


def refund(
    end_to_end_id: Annotated[str, Argument(help="of the payment to give back")],
    amount: Annotated[str, Argument(help="like 123.45; all that is left without it")] = "",
    reason: Annotated[str, Option(help="BE08, FR01, MD06 or SL02")] = "MD06",
    rtr_id: Annotated[str, Option("--id", help="of a return to repeat; a new one without it")] = "",
) -> None:
    """Give a settled payment back, whole or in part."""

    async def give(pix: Pix) -> Any:
        original = await orders.status(pix, end_to_end_id)
        size = amount or decimal(await refunds.left_cents(pix, end_to_end_id))
        tail = "".join(random.choices(_ALPHABET, k=11))
        name = rtr_id or make_rtr_id(original.payee, datetime.now(UTC), tail)
        return await refunds.refund(pix, Return(rtr_id=name, end_to_end_id=end_to_end_id, amount=size, reason=reason))

    echo(line(act(give)))


def read(
    path: Annotated[Path, Argument(help="an envelope: pacs.008, pacs.002 or pacs.004")],
    send: Annotated[bool, Option("--send", help="into the engine, too")] = False,  # noqa: FBT002
) -> None:
    """Read one of the SPI's XML envelopes and print what it says; without --send nothing is sent."""
    try:
        header, message = iso20022.parse(_bytes(path))
    except iso20022.BadXml as bad:
        raise BadMessage(field=bad.element, reason=str(bad)) from None
    if send:
        act(lambda pix: messages.take(pix, message))
    show({"header": header, type(message).__name__.lower(): msgspec.to_builtins(message)})


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(field=str(path), reason=error.strerror or "cannot be read") from None


def _payment(number: int, line: bytes) -> Payment:
    try:
        return msgspec.json.decode(line, type=Payment)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        where = f"line {number}: "
        raise PaymentRefused(field=f"{where}{field_of(error)}", reason=f"{where}{error}", spi="CH16") from None


def check(
    as_json: Annotated[bool, Option("--json", help="for scripts")] = False,  # noqa: FBT002
) -> None:
    """Reconcile records, messages, balances, holds, counters and streams; exits 1 if anything does not add up."""
    report = act(reconcile.reconcile)
    if as_json:
        show(report)
    else:
        for finding in report.findings:
            echo(str(finding))
        sums = "sums agree" if report.sums_checked else "sums not compared: records kept going"
        verdict = f"{len(report.findings)} findings" if report.findings else f"nothing wrong, {sums}"
        echo(f"{report.records} records, {report.messages} messages: {verdict}")
    if report.findings:
        raise Exit(1)
