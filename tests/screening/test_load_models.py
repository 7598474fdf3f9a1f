"""Which models a search loads by name: dispersion always has a judge to be added to."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dao_core.screening.load_models import models_by_name
from dao_core.screening.settings import ModelNames


def test_dispersion_goes_into_a_judge_of_its_own_or_is_refused() -> None:
    plain = ModelNames(potential="sevennet", judge="sevennet")
    assert models_by_name(plain)._judge is None
    assert models_by_name(plain.model_copy(update={"dispersion": True}))._judge is not None
    with pytest.raises(ValidationError, match="added to the judge's energies, and judge is none"):
        ModelNames(judge="none", dispersion=True)
