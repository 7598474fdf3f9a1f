"""Real structures for the screening tests: textbook crystals and AFLOW prototypes, and candidates made from them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dao_core.screening.candidate import Candidate
from tests.helpers.candidates import candidate


@pytest.fixture
def make_candidate() -> Callable[..., Candidate]:
    return candidate
