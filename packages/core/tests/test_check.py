"""Totals across domains: what overlaps may be the same, also while traffic runs."""

import os

import pytest

from lastro.core.cli.check import Report, Totals, differences


@pytest.mark.parametrize(
    ("differences", "unseen", "code"),
    [
        ({"pix": []}, {}, 0),
        ({"pix": ["e1: twice"]}, {}, 1),
        ({"pix": []}, {"coupons": "its database is away"}, os.EX_TEMPFAIL),
        ({"pix": ["e1: twice"]}, {"coupons": "its database is away"}, 1),
    ],
)
def test_a_domain_that_was_not_looked_at_is_no_difference(
    differences: dict[str, list[str]], unseen: dict[str, str], code: int
) -> None:
    assert Report(differences, unseen).exit_code == code


def told(low: int, high: int) -> Totals:
    return {"pix": {"credits": (low, high)}}


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        (((5, 5), (5, 5)), ((5, 5), (5, 5)), False),  # quiet, the same
        (((5, 5), (4, 4)), ((5, 5), (4, 4)), True),  # quiet, one short
        (((5, 5), (3, 5)), ((5, 5), (4, 5)), False),  # the rest is in flight
        (((5, 5), (3, 4)), ((9, 9), (7, 9)), False),  # traffic between the two looks
        (((9, 9), (5, 6)), ((9, 9), (5, 8)), True),  # too little, even with what is in flight
        (((5, 5), (8, 8)), ((7, 7), (9, 9)), True),  # too much already
    ],
)
def test_two_domains_that_agree_overlap(
    first: tuple[tuple[int, int], tuple[int, int]], second: tuple[tuple[int, int], tuple[int, int]], *, differ: bool
) -> None:
    looks = [{"pix": told(*pix), "ledger": told(*ledger)} for pix, ledger in (first, second)]
    assert bool(list(differences(*looks))) is differ


def test_a_sum_that_one_does_not_tell_is_zero_and_a_subject_that_one_does_not_know_is_its_own_business() -> None:
    alone: dict[str, Totals] = {"pix": told(5, 5), "ledger": {"pix": {}}, "payments": {"payments": {"x": (1, 1)}}}
    assert list(differences(alone, alone)) == ["pix credits: 5 by pix, 0 by ledger"]
