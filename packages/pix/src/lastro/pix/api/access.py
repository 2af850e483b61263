"""What a key may do here: one narrowed to a participant sees that participant's side of everything, and no other."""

from lastro.core.access.routes import Access

ACCESS = Access(
    bound="participant",
    value=r"[0-9A-Za-z]{1,64}",
    named=(
        "GET /pix/participants/{participant}",
        "GET /pix/participants/{participant}/statement",
        "GET /pix/out/{participant}/start",
        "GET /pix/out/{participant}/events",
        "GET /pix/out/{participant}/{}",
        "DELETE /pix/out/{participant}/{}",
    ),
    inside=(
        "POST /pix/payments",
        "POST /pix/payments/bulk",
        "GET /pix/payments/{}",
        "GET /pix/payments/{}/returns",
        "GET /pix/payments/{}/pacs.002",
        "POST /pix/answers",
        "POST /pix/returns",
        "POST /pix/messages",
        "POST /pix/brcodes",
        "GET /pix/brcodes/read",
        "GET /pix/brcodes/picture",
    ),
)
