"""One coupon: get it, and what becomes of it."""

from typing import Annotated

from typer import Argument, Option, Typer, echo

from lastro.core.clock import iso
from lastro.core.money import brl
from lastro.coupons.engine import Coupons, events, redemption, spending
from lastro.coupons.model.issuance import Issuance, Stored

from .act import AsJson, EventId, IssuanceId, OrderRef, act, show

app = Typer()
UserId = Annotated[str, Argument(help="which user")]


@app.command()
def issue(
    event_id: EventId,
    user_id: UserId,
    key: Annotated[str, Option(help="names the attempt, where a user may have several coupons")] = "",
    ticket: Annotated[str, Option(help="of the waiting room, where there is one")] = "",
) -> None:
    """Give a user one coupon, once."""
    given = act(lambda coupons: coupons.issue(event_id, user_id, key=key, ticket=ticket), database=False)
    one = given.issuance
    echo(f"{'issued' if given.new else 'again'} {one.seq} {one.code} {one.issuance_id} to {one.user_id}")


@app.command()
def join(event_id: EventId, user_id: UserId, as_json: AsJson = False) -> None:  # noqa: FBT002
    """A user's place in the waiting room; at its turn the ticket to show with the attempt."""
    place = act(lambda coupons: events.join(coupons, event_id, user_id), database=False)
    if as_json:
        from lastro.coupons.api.events import place_told

        show(place_told(place))
        return
    echo(place.ticket or f"{place.position} before you, ask again in {place.poll_after_ms} ms; {place.stock} left")


@app.command()
def of(event_id: EventId, user_id: UserId, as_json: AsJson = False) -> None:  # noqa: FBT002
    """What a user has of an event, what is on its way into the database too."""

    async def look(coupons: Coupons) -> list[Issuance]:
        found = await coupons.issuances(event_id, user_id)
        if not found:
            await coupons.event(event_id)
        return found

    found = act(look, database=False)
    if as_json:
        from lastro.coupons.api.attempt import shown

        show([shown(one) for one in found])
        return
    for one in found:
        echo(f"{one.seq} {one.code} {one.issuance_id}")


@app.command("show")
def show_coupon(coupon: Annotated[str, Argument(help="its id or its code")], as_json: AsJson = False) -> None:  # noqa: FBT002
    """One coupon and all that became of it."""
    is_id = len(coupon) == 36  # noqa: PLR2004  # a UUID
    stored = act(lambda coupons: (redemption.find if is_id else redemption.find_code)(coupons, coupon))
    acts = act(lambda coupons: redemption.history(coupons, stored.issuance.issuance_id))
    if as_json:
        from lastro.coupons.api.issuances import acts_told, told

        show({"coupon": told(stored), "history": acts_told(acts)})
        return
    echo(_line(stored))
    for name, reference, at_ms in acts:
        echo(f"  {iso(at_ms)} {name} {reference}")


@app.command()
def reserve(
    issuance_id: IssuanceId, order_ref: OrderRef, seconds: Annotated[int, Option(help="how long")] = 900
) -> None:
    """Keep a coupon for an order for a while."""
    echo(_line(act(lambda coupons: redemption.reserve(coupons, issuance_id, order_ref, seconds))))


@app.command()
def redeem(issuance_id: IssuanceId, order_ref: OrderRef) -> None:
    """Use a coupon for an order."""
    echo(_line(act(lambda coupons: redemption.redeem(coupons, issuance_id, order_ref))))


@app.command()
def release(issuance_id: IssuanceId, order_ref: OrderRef) -> None:
    """Give back what an order reserved or redeemed."""
    echo(_line(act(lambda coupons: redemption.release(coupons, issuance_id, order_ref))))


@app.command()
def spend(
    issuance_id: IssuanceId,
    user_id: Annotated[str, Argument(help="whose it is")],
    correlation_id: Annotated[str, Argument(help="UUID of the order and of its payment")],
    amount_cents: Annotated[int, Argument(help="of the whole order")],
) -> None:
    """Use a coupon in a payment: the rest of the amount is charged."""
    told = act(lambda coupons: spending.spend(coupons, issuance_id, user_id, correlation_id, amount_cents))
    echo(f"{told.correlation_id}  {brl(told.charge_cents)} of {brl(told.amount_cents)} to charge  {told.state}")


@app.command()
def cancel(issuance_id: IssuanceId) -> None:
    """Take a coupon out of use; its unit goes back into stock while the event is open."""
    echo(_line(act(lambda coupons: redemption.cancel(coupons, issuance_id))))


@app.command()
def expire() -> None:
    """Mark coupons that nobody used in time, a thousand at most."""
    echo(f"{act(redemption.expire)} expired")


def _line(stored: Stored) -> str:
    one = stored.issuance
    order = f" for {stored.order_ref}" if stored.order_ref else ""
    return f"{one.issuance_id}  {one.event_id} {one.seq}  {one.code}  {one.user_id}  {stored.status}{order}"
