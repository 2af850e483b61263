"""What a key may do here: one narrowed to an event reaches what names that event in its path, and nothing else."""

from lastro.core.access.routes import Access

ACCESS = Access(
    bound="event",
    value=r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
    named=(
        "POST /coupons/events/{event}/issuances",
        "GET /coupons/events/{event}/issuances/{}",
        "GET /coupons/events/{event}",
        "GET /coupons/events/{event}/stats",
        "POST /coupons/events/{event}:schedule",
        "POST /coupons/events/{event}:open",
        "POST /coupons/events/{event}:pause",
        "POST /coupons/events/{event}:close",
        "POST /coupons/events/{event}:settle",
        "POST /coupons/events/{event}:resize",
        "POST /coupons/events/{event}/eligible",
        "POST /coupons/events/{event}/room",
        "GET /coupons/events/{event}/dead",
        "GET /coupons/events/{event}/dead/{}",
        "POST /coupons/events/{event}/dead/{}/replay",
        "DELETE /coupons/events/{event}/dead/{}",
    ),
)
