"""How Pix says no. Where the SPI has a code for it, the error carries that code as ``spi``."""

from lastro.core.errors import Busy, Invalid, NotFound, Refused, TooFast


class PaymentRefused(Invalid):
    """The payment breaks a rule: {reason} ({spi})."""

    code = "pix.payment_refused"


class BadMessage(Invalid):
    """The message is not one of the SPI's: {reason}."""

    code = "pix.bad_message"


class SameIdOtherPayment(Refused):
    """{end_to_end_id} was used before, for another amount or receiver."""

    code = "pix.same_id_other_payment"


class SameActOtherAmount(Refused):
    """The act {id} funded {ispb} before, with another amount."""

    code = "pix.same_act_other_amount"


class NoSuchPayment(NotFound):
    """There is no payment {end_to_end_id}."""

    code = "pix.no_such_payment"


class NoSuchParticipant(NotFound):
    """There is no participant {ispb}."""

    code = "pix.no_such_participant"


class NoSuchLetter(NotFound):
    """There is no dead letter {letter}."""

    code = "pix.no_such_letter"


class LetterCutOff(Refused):
    """The dead letter {letter} was too long to be kept whole; it cannot be replayed."""

    code = "pix.letter_cut_off"


class NotEnoughFunds(Refused):
    """The Conta PI of {ispb} does not cover it."""

    code = "pix.not_enough_funds"


class AccountFull(Refused):
    """The Conta PI of {ispb} cannot hold so much."""

    code = "pix.account_full"


class ReturnRefused(Refused):
    """The return is refused: {reason} ({spi})."""

    code = "pix.return_refused"


class TooManyPayments(TooFast):
    """The token bucket of {ispb} is empty; ask again in {retry_after_seconds} s."""

    code = "pix.too_many_payments"


class TooManyReaders(TooFast):
    """{readers_max} readers pull from {backend_id} already; ask again in {retry_after_seconds} s."""

    code = "pix.too_many_readers"


class Behind(Busy):
    """Too many payments wait; ask again in {retry_after_seconds} s."""

    code = "pix.behind"


class NoSuchReader(NotFound):
    """There is no reader {reader}, or it was silent for too long."""

    code = "pix.no_such_reader"
