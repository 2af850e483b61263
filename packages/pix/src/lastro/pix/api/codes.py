"""BR Codes: make, read, draw."""

import io
from typing import Annotated

import segno
from fastapi import APIRouter, Query, Response
from pydantic import Field

from lastro.core.docs import media
from lastro.core.errors import Invalid
from lastro.core.money import CENTS_MAX
from lastro.pix.model import brcode

from .answers import Text
from .request import Body, reply

router = APIRouter(prefix="/brcodes")
TEXT_MAX = 512


class Static(Body):
    """What a static BR Code says."""

    key: str = Field(examples=["+5511999999999"], description="the receiver's Pix key")
    name: str = Field(max_length=brcode.NAME_MAX, examples=["LOJA LASTRO"])
    city: str = Field(max_length=brcode.CITY_MAX, examples=["SAO PAULO"])
    amount_cents: int = Field(0, ge=0, le=CENTS_MAX, strict=True, description="0: the payer decides")
    tx_id: str = Field("", max_length=brcode.TX_ID_MAX)


@router.post("", status_code=201, response_model=Text)
async def make(static: Static) -> Response:
    """The text of a static code."""
    try:
        return reply({"text": brcode.encode(brcode.BrCode(**static.model_dump()))}, 201)
    except brcode.BadBrCode as bad:
        raise Invalid(field=bad.field, reason=str(bad)) from None


@router.get("/read", response_model=brcode.BrCode)
async def read(text: Annotated[str, Query(max_length=TEXT_MAX)]) -> Response:
    """What a code says; a wrong length or CRC is refused."""
    return reply(_read(text))


@router.get("/picture", response_class=Response, responses=media("image/svg+xml"))
async def picture(text: Annotated[str, Query(max_length=TEXT_MAX)]) -> Response:
    """A code as a QR picture; only of a code that is right."""
    _read(text)
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", scale=4)
    return Response(out.getvalue(), media_type="image/svg+xml")


def _read(text: str) -> brcode.BrCode:
    try:
        return brcode.decode(text)
    except brcode.BadBrCode as bad:
        raise Invalid(field="text", reason=str(bad)) from None
