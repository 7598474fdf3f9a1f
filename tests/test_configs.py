"""Every YAML file in configs/ is an instance of its typed model, and a wrong key in it is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from dao_core.crysdb.config import BuildConfig
from dao_core.dft.settings import DftProtocols
from dao_core.settings_file import ConfigFileError
from dao_core.training.config import TrainingConfig
from dao_core.training.property_config import PropertySettings
from tasks.config import CampaignConfig, Profile, ScreenConfig, StudyConfig, load_config
from tasks.error_line import explain

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
MODELS: dict[str, type[BaseModel]] = {
    "campaign": CampaignConfig,
    "crysdb": BuildConfig,
    "dft_protocols": DftProtocols,
    "finetune": PropertySettings,
    "profile": Profile,
    "study": StudyConfig,
    "train": TrainingConfig,
}


def model_of(path: Path) -> type[BaseModel]:
    """The model of a file by the word before the first hyphen."""
    return MODELS[path.stem.split("-")[0]]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.name)
def test_every_config_loads_as_its_model(path: Path) -> None:
    assert load_config(path, model_of(path))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.name)
def test_an_unknown_key_is_refused_by_name(path: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(path.read_text())
    wrong = tmp_path / path.name
    wrong.write_text(yaml.safe_dump({**data, "surprise": 1}))
    with pytest.raises(ValidationError) as error:
        load_config(wrong, model_of(path))
    assert explain(error.value) == "settings: unknown key 'surprise': remove it or correct its spelling"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "holds list"),
        ("", "is empty: expected a mapping of settings"),
        ("a: [1\n", "not readable as YAML"),
        ("a: b: c\n", "not readable"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigFileError, match=message):
        load_config(path, CampaignConfig)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"formulas": ["NaCl", "Xx2"]}, "settings: formulas: Value error, formula 'Xx2': Xx is not an element"),
        ({"search": {"n_genrated": 3}}, "settings: unknown key 'search.n_genrated'"),
        ({"relaxation": {"above_hull": [0.5, 0.08]}}, "give the lower bound first"),
        ({"relaxation": {"above_hull": [80, 500]}}, "500 eV/atom above the hull is no crystal: give eV/atom, not meV"),
        (
            {"relaxation": {"above_hull": [0.08, float("nan")]}},
            "relaxation.above_hull.1: Input should be a finite number",
        ),
        ({"search": {"relax": {"pressure_gpa": 1e9}}}, "pressures are in GPa, between -50 and 1000, got 1000000000.0"),
        ({"workers": {"slurm": {"memory": 16}}}, "workers.slurm: Value error, memory: 16 has no unit or a wrong one"),
        ({"workers": {"slurm": {"walltime": "4 h"}}}, "walltime: '4 h' has no unit or a wrong one: write it as 04:00"),
        ({"search": {"relax": {"fmax": "0.05 eV/A"}}}, "settings: search.relax.fmax: Input should be a valid number"),
        ({"predictor": {"batch_size": 8}}, "set max_steps or max_seconds"),
        ({"crysdb": {"sources": [{"kind": "oracle"}]}}, "settings: crysdb.sources.0: Input tag 'oracle'"),
        ({"workers": {"engine": "spark"}}, "settings: workers.engine: Input should be 'threads', 'dask' or 'slurm'"),
    ],
)
def test_a_wrong_value_names_key_and_remedy(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        load_config(CONFIGS / "campaign-demo.yaml", CampaignConfig, **change)
    assert message in str(explain(error.value))


def test_the_seed_of_a_run_is_that_of_its_parts_unless_they_give_their_own() -> None:
    own = {"seed": 7, "stage2": {"max_steps": 1, "seed": 3}}
    config = load_config(CONFIGS / "campaign-demo.yaml", CampaignConfig, **own)
    assert (config.seed, config.search.seed, config.stage1.seed, config.predictor.seed) == (7, 7, 7, 7)
    assert config.stage2.seed == 3
    assert ScreenConfig.model_validate({"name": "x", "root": "x", "formulas": ["Si"], "seed": 4}).search.seed == 4
