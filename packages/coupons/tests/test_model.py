"""The pure parts: codes and tickets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.coupons.model import tickets
from lastro.coupons.model.codes import ALPHABET, code_of, new_id, read_code

SECRET = b"secret"


@given(st.uuids().map(str))
def test_a_code_reads_as_it_was_written_however_it_is_typed(issuance_id: str) -> None:
    code = code_of(SECRET, issuance_id)
    assert read_code(code) == code
    assert read_code(code.lower().replace("-", " ").replace("0", "o").replace("1", "i")) == code


@given(st.uuids().map(str), st.integers(0, 11), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_told(issuance_id: str, at: int, letter: str) -> None:
    digits = code_of(SECRET, issuance_id).replace("-", "")
    wrong = digits[:at] + letter + digits[at + 1 :]
    if wrong == digits:
        assert read_code(wrong)
    else:
        with pytest.raises(ValueError, match="check character"):
            read_code(wrong)


@given(st.uuids().map(str), st.integers(0, 10))
def test_two_neighbours_exchanged_are_told(issuance_id: str, at: int) -> None:
    digits = code_of(SECRET, issuance_id).replace("-", "")
    wrong = digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]
    if wrong != digits:
        with pytest.raises(ValueError, match="check character"):
            read_code(wrong)


@pytest.mark.parametrize("text", ["", "ABCD", "UUUU-UUUU-UUUU-U", "7ZQK-4M2P-XW9D-HH", "7ZQK-4M2P-XW9é-H"])
def test_what_is_no_code_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"code|character"):
        read_code(text)


def test_another_secret_gives_another_code_and_ids_are_distinct_and_in_order() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert all(id_[14] == "7" and id_[19] in "89ab" for id_ in ids)
    assert ids[0][:8] <= ids[-1][:8]
    assert code_of(b"one", ids[0]) != code_of(b"two", ids[0])


@pytest.mark.parametrize(
    ("event_id", "user_id", "now_ms", "good"),
    [("e", "ana", 999, True), ("e", "ana", 1_000, False), ("f", "ana", 999, False), ("e", "bia", 999, False)],
)
def test_a_ticket_is_for_one_user_of_one_event_until_its_time(
    event_id: str, user_id: str, now_ms: int, *, good: bool
) -> None:
    ticket = tickets.sign(SECRET, "e", "ana", 1_000)
    assert tickets.holds(SECRET, ticket, event_id, user_id, now_ms) is good


@given(st.text())
def test_no_other_text_is_a_ticket(text: str) -> None:
    assert not tickets.holds(SECRET, text, "e", "ana", 0)
