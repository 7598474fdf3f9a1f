"""Formulas with groups, charges and hydrates; what could mean two things is no formula."""

from __future__ import annotations

import pytest

from dao_core.readers.formula_text import formula_counts, grouped_counts


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("K Br", {"K": 1, "Br": 1}),
        ("K1 +, Br1 -", {"K": 1, "Br": 1}),
        ("K +1, Br -1", {"K": 1, "Br": 1}),
        ("Sr 2+, 2(Br 1-)", {"Sr": 1, "Br": 2}),
        ("K Br, 2(D2 O)", {"K": 1, "Br": 1, "H": 4, "O": 2}),
        ("K4 [Fe(C N)6] (H2 O)3", {"K": 4, "Fe": 1, "C": 6, "N": 6, "H": 6, "O": 3}),
        ("0.5(C4 H8 O), n(C2 H2)", {"C": 4, "H": 6, "O": 0.5}),
        ("Ni S O4 · 6 H2 O", {"Ni": 1, "S": 1, "O": 10, "H": 12}),
        ("(S O4) 2-", {"S": 1, "O": 4}),
    ],
)
def test_what_people_write(text: str, counts: dict[str, float]) -> None:
    assert grouped_counts(text) == counts


@pytest.mark.parametrize(
    "text",
    ["", "?", "Ca2+", "(S O4)2-", "CaSO4.2H2O", "Al(OMe)3", "CH3-CH2-OH", "(K Br", "K Br)", "(K Br]", "MFI", "xK Br"],
)
def test_what_could_mean_two_things_is_none(text: str) -> None:
    assert grouped_counts(text) is None


def test_a_sum_has_no_groups() -> None:
    assert formula_counts("Sr1 Ti1 O3") == {"Sr": 1, "Ti": 1, "O": 3}
    assert formula_counts("Sr (Ti O3)") is None
    assert formula_counts("K9999999") is None
