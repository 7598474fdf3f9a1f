"""The symmetry model on disk: both networks in one checkpoint, with what is known of elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dao_core.generate.symmetry.fill_network import FillNetwork
from dao_core.generate.symmetry.label_network import LabelNetwork
from dao_core.generate.symmetry.transformer import SymmetryNetworkConfig
from dao_core.models.checkpoint_io import (
    CheckpointContent,
    CheckpointError,
    load_weights,
    named_faults,
    read_checkpoint,
    save_checkpoint,
)

KIND = "symmetry"


@dataclass(frozen=True, eq=False)
class ElementFacts:
    """What the training structures say of elements.

    `volumes` (101,): usual volume in angstrom^3; `elements`: atomic numbers seen; `closest`: smallest distance over the
    sum of radii (of spheres of the usual volume) that all but a hundredth of the structures keep.
    """

    volumes: NDArray[np.float64]
    elements: frozenset[int]
    closest: float


@dataclass(frozen=True)
class Calibration:
    """How often a proposal of log probability x is the wanted structure: the logistic function of slope x + offset.

    Fitted on validation structures by benchmarks/symmetry_generation.py, part `calibrate`.
    """

    slope: float = 1.0
    offset: float = 0.0

    def log_prior(self, log_probability: float) -> float:
        """Log of the calibrated probability."""
        return float(-np.logaddexp(0.0, -(self.slope * log_probability + self.offset)))


@dataclass(frozen=True, eq=False)
class SymmetryModel:
    """Label network, fill network, element facts and the calibration of the proposals' probabilities."""

    label: LabelNetwork
    fill: FillNetwork
    facts: ElementFacts
    calibration: Calibration = field(default_factory=Calibration)
    identity: str = "unsaved"


def save_symmetry(directory: Path, model: SymmetryModel, about: dict[str, Any], card: str) -> Path:
    """Write the checkpoint.

    Args:
        directory: Where to.
        model: Both networks and the element facts; its identity is that of the written weights.
        about: Facts of the training, kept in the configuration under `training`.
        card: The model card, Markdown.

    Returns:
        The directory.
    """
    # half precision: half the size, and log probabilities change in the third digit
    weights = {f"label.{k}": v.half() for k, v in model.label.state_dict().items()}
    weights |= {f"fill.{k}": v.half() for k, v in model.fill.state_dict().items()}
    facts = model.facts
    extra = {
        "volumes": facts.volumes.round(4).tolist(), "elements": sorted(facts.elements), "closest": facts.closest,
        "calibration": {"slope": model.calibration.slope, "offset": model.calibration.offset}, "training": about,
    }  # fmt: skip
    networks = {"label": model.label.config.model_dump(), "fill": model.fill.config.model_dump()}
    return save_checkpoint(directory, weights, CheckpointContent(KIND, networks, extra, card))


def load_symmetry(directory: Path | str = KIND) -> SymmetryModel:
    """Load and verify a checkpoint (the name of a shipped one, or a folder). Raises CheckpointError."""
    path, config, weights = read_checkpoint(directory, kind=KIND)
    with named_faults(path):
        label = LabelNetwork(SymmetryNetworkConfig(**config["model"]["label"]))
        fill = FillNetwork(SymmetryNetworkConfig(**config["model"]["fill"]))
        facts = ElementFacts(
            np.array(config["volumes"], dtype=float), frozenset(config["elements"]), float(config["closest"])
        )
        calibration = Calibration(**config["calibration"])
    if facts.volumes.shape != (101,):
        raise CheckpointError(
            f"{path}/config.json lists {len(facts.volumes)} volumes, not 101: fetch or train it again"
        )
    for name, network in (("label", label), ("fill", fill)):
        own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
        # older ones learned from canonical descriptions alone, and from one source
        if isinstance(network, FillNetwork):
            own.setdefault("equivalent", torch.zeros_like(network.equivalent))
        else:
            own.setdefault("source.weight", torch.zeros_like(network.source.weight))
        load_weights(network, own, path)
        network.eval()
    return SymmetryModel(label, fill, facts, calibration, f"dao-{KIND}-{config['sha256'][:12]}")
