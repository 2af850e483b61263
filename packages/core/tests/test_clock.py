"""Time as a value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.core.clock import iso, parse_iso
from lastro.core.errors import Invalid


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.5Z", 500),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2025-07-10T12:34:56.000Z", 1_752_150_896_000),
        ("1970-01-01T00:00:00.001999999Z", 1),
    ],
)
def test_iso_text_becomes_milliseconds(text: str, ms: int) -> None:
    assert parse_iso(text, field="from") == ms


def test_a_part_of_a_millisecond_rounds_up_when_it_opens_a_window() -> None:
    assert parse_iso("1970-01-01T00:00:00.0011Z", field="from", up=True) == 2
    assert parse_iso("1970-01-01T00:00:00.001Z", field="from", up=True) == 1


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2025-13-01T00:00:00Z", "2025-02-30T00:00:00Z", "2025-07-10 12:00:00"]
)
def test_what_is_not_a_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match=r"^to: "):
        parse_iso(text, field="to")


@given(st.integers(0, 4_102_444_800_000))
def test_what_is_written_is_read_back(ms: int) -> None:
    assert parse_iso(iso(ms), field="at") == ms
