"""Which models a search loads by name: dispersion always has a judge to be added to."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dao_core.energy import registry
from dao_core.models.checkpoint_io import SHIPPED, CheckpointError
from dao_core.screening.load_models import models_by_name
from dao_core.screening.settings import ModelNames
from tests.helpers.potentials import emt


def test_dispersion_goes_into_a_judge_of_its_own_or_is_refused() -> None:
    same = ModelNames(potential="sevennet", judge="sevennet")
    assert models_by_name(same.model_copy(update={"dispersion": False}))._judge is None
    assert models_by_name(same.model_copy(update={"dispersion": True}))._judge is not None
    with pytest.raises(ValidationError, match="added to the judge's energies, and judge is none"):
        ModelNames(judge="none", dispersion=True)


@pytest.mark.parametrize("model", ["generator", "potential", "judge"])
def test_a_model_of_another_kind_or_none_is_refused_although_nothing_is_loaded_yet(model: str, tmp_path: Path) -> None:
    of_another_kind = SHIPPED / ("predictor" if model == "generator" else "generator")
    for name, reason in ((tmp_path, "it has no config.json"), (of_another_kind, "is needed")):
        with pytest.raises(CheckpointError, match=reason):
            models_by_name(ModelNames.model_validate({model: name}))
    with pytest.raises((CheckpointError, registry.PotentialNameError), match="oracle"):
        models_by_name(ModelNames.model_validate({model: "oracle"}))


@pytest.mark.parametrize("lacks", [True, False])
def test_a_potential_that_judges_too_does_so_only_if_dispersion_is_added(
    lacks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dftd3")
    both = emt()
    both.lacks_dispersion = lacks  # type: ignore[attr-defined]
    monkeypatch.setattr(registry, "_load", lambda *_: both)
    models = models_by_name.__wrapped__(ModelNames(potential="sevennet", judge="sevennet"))
    assert models.potential is both
    assert (models.judge is not None) == lacks
    assert models.decides.identity == ("PBE-D3(BJ)+EMT" if lacks else "EMT")
