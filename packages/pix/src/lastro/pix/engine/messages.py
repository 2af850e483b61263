"""The SPI's messages, whatever brought them: a payment is submitted, an answer given, a return made."""

from lastro.pix.model.payment import Answer, Payment, Return

from . import orders, refunds
from .pix import Pix


async def take(pix: Pix, message: Payment | Answer | Return) -> str:
    """Do what it asks; the id it is about. Raises what submit, answer and refund raise."""
    match message:
        case Payment():
            await orders.submit(pix, [message])
            return message.end_to_end_id
        case Answer():
            await orders.answer(pix, [message])
            return message.end_to_end_id
        case Return():
            await refunds.refund(pix, message)
            return message.rtr_id
