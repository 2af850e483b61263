"""Money is an integer of the smallest unit; text is read strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.core.errors import Invalid
from lastro.core.money import CENTS_MAX, cents, decimal


@pytest.mark.parametrize(
    ("text", "amount"), [("0", 0), ("10", 1000), ("10.5", 1050), ("10.05", 1005), ("9999999999.99", CENTS_MAX)]
)
def test_decimal_text_becomes_cents(text: str, amount: int) -> None:
    assert cents(text) == amount


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1.", ".5", "1.005", "1e3", "nan", "inf", "1,00", "1_0", " 1", "1\n", "١٢", "10000000000", "0x10"],
)
def test_what_is_not_an_amount_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match=r"^price: "):
        cents(text, field="price")


@given(st.integers(0, CENTS_MAX))
def test_what_is_written_is_read_back(amount: int) -> None:
    assert cents(decimal(amount)) == amount


def test_a_difference_keeps_its_sign() -> None:
    assert [decimal(-5), decimal(-100), decimal(5)] == ["-0.05", "-1.00", "0.05"]
