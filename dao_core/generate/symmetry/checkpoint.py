"""The symmetry model on disk: all its networks in one checkpoint, with what is known of elements."""

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
from dao_core.models.default_dtype import default_dtype

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
    """Label networks, fill networks, element facts and the calibration of the proposals' probabilities.

    The networks of one kind were trained apart; what they predict is averaged.
    """

    labels: tuple[LabelNetwork, ...]
    fills: tuple[FillNetwork, ...]
    facts: ElementFacts
    calibration: Calibration = field(default_factory=Calibration)
    identity: str = "unsaved"


def save_symmetry(directory: Path, model: SymmetryModel, about: dict[str, Any], card: str) -> Path:
    """Write the checkpoint.

    Args:
        directory: Where to.
        model: The networks and the element facts; its identity is that of the written weights.
        about: Facts of the training, kept in the configuration under `training`.
        card: The model card, Markdown.

    Returns:
        The directory.
    """
    # half precision: half the size, and log probabilities change in the third digit
    members: dict[str, tuple[LabelNetwork | FillNetwork, ...]] = {"label": model.labels, "fill": model.fills}
    weights = {
        f"{kind}.{i}.{k}": v.half()
        for kind, networks in members.items()
        for i, network in enumerate(networks)
        for k, v in network.state_dict().items()
    }
    facts = model.facts
    extra = {
        "volumes": facts.volumes.round(4).tolist(), "elements": sorted(facts.elements), "closest": facts.closest,
        "calibration": {"slope": model.calibration.slope, "offset": model.calibration.offset}, "training": about,
    }  # fmt: skip
    configs = {kind: [n.config.model_dump() for n in networks] for kind, networks in members.items()}
    return save_checkpoint(directory, weights, CheckpointContent(KIND, configs, extra, card))


def load_symmetry(directory: Path | str = KIND) -> SymmetryModel:
    """Load and verify a checkpoint (the name of a shipped one, or a folder). Raises CheckpointError."""
    path, config, weights = read_checkpoint(directory, kind=KIND)
    with named_faults(path):
        # those of before networks voted have one of each kind
        configs = {k: c if isinstance(c, list) else [c] for k, c in config["model"].items()}
        with default_dtype(torch.float32):
            labels = tuple(LabelNetwork(SymmetryNetworkConfig(**c)) for c in configs["label"])
            fills = tuple(FillNetwork(SymmetryNetworkConfig(**c)) for c in configs["fill"])
        facts = ElementFacts(
            np.array(config["volumes"], dtype=float), frozenset(config["elements"]), float(config["closest"])
        )
        calibration = Calibration(**config["calibration"])
    if facts.volumes.shape != (101,):
        raise CheckpointError(
            f"{path}/config.json lists {len(facts.volumes)} volumes, not 101: fetch or train it again"
        )
    numbered = isinstance(config["model"]["label"], list)
    for kind, networks in (("label", labels), ("fill", fills)):
        for i, network in enumerate(networks):
            prefix = f"{kind}.{i}." if numbered else f"{kind}."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            # older ones learned from canonical descriptions alone, and from one source
            missing = "equivalent" if isinstance(network, FillNetwork) else "source.weight"
            own.setdefault(missing, torch.zeros_like(network.state_dict()[missing]))
            load_weights(network, own, path)
            network.eval()
    return SymmetryModel(labels, fills, facts, calibration, f"dao-{KIND}-{config['sha256'][:12]}")
