"""Fine-tuned properties: DAO-P's network with a new head on the clean structure, one member for each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.energy.predictor import size_batches, undisturbed
from dao_core.models.checkpoint_io import Checkpoint, CheckpointError, load_checkpoint, named_faults
from dao_core.models.compact import compact_cells

KIND = "property"
BATCH_PAIRS = 20_000  # most atom pairs of a batch


class PropertyError(ValueError):
    """Labels or structures that no property can be learned from; the message says what is wrong."""


@dataclass(frozen=True)
class PropertyScale:
    """Between a property and the network's unit: optional natural logarithm, then z-score over the training rows."""

    transform: str  # none or log
    mean: float
    std: float

    @classmethod
    def fit(cls, values: NDArray[np.float64], transform: str) -> PropertyScale:
        """Mean and spread of training labels.

        Args:
            values: Labels in the property's unit, (M,).
            transform: "none" or "log".

        Returns:
            The scale.

        Raises:
            PropertyError: There are fewer than two rows, or values that have no logarithm.
        """
        if len(values) < 2:
            raise PropertyError(f"{len(values)} labelled rows: give at least two")
        if transform == "log" and values.min() <= 0:
            raise PropertyError(f"transform log needs positive values, the smallest is {values.min():g}: use none")
        raw = np.log(values) if transform == "log" else values
        return cls(transform, float(raw.mean()), max(float(raw.std()), 1e-9))

    def to_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Property -> network unit."""
        raw = np.log(values) if self.transform == "log" else values
        return (raw - self.mean) / self.std

    def from_unit(self, unit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Network unit -> property; the logarithm is bounded so that no prediction is infinite."""
        raw = unit * self.std + self.mean
        return np.exp(np.clip(raw, -80.0, 80.0)) if self.transform == "log" else raw


@dataclass(frozen=True)
class PropertyPrediction:
    """What the members that know a structure's elements say of it.

    Attributes:
        value: Their mean in the property's unit; None with a `reason` where none can be asked.
        std: Their standard deviation in the same unit; None where fewer than two answered.
        reason: Why there is no value.
        n_members: How many answered.
    """

    value: float | None
    std: float | None
    reason: str = ""
    n_members: int = 0


def clean_outputs(network: nn.Module, batch: CrystalBatch) -> Tensor:
    """The head's numbers for undisturbed structures.

    Args:
        network: A property's network.
        batch: Structures on its device.

    Returns:
        (B,), in network units.
    """
    return undisturbed(network, batch.lattice, batch.frac_coords, batch.atomic_numbers).energies[:, 0]


@torch.no_grad()
def unit_predictions(network: nn.Module, crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Predictions in network units, batched by size.

    Args:
        network: A property's network, on any device.
        crystals: Structures.

    Returns:
        (M,).
    """
    out, device = np.empty(len(crystals)), next(network.parameters()).device
    cutoff = getattr(getattr(network, "config", None), "cutoff", None)
    cells = crystals if cutoff is None else compact_cells(crystals, cutoff)
    for rows in size_batches(cells, BATCH_PAIRS):
        batch = CrystalBatch.from_crystals([cells[i] for i in rows], dtype=torch.float32).to(device)
        out[rows] = clean_outputs(network, batch).double().cpu().numpy()
    return out


class PropertyModel:
    """Members of a fine-tuned property (a folder with `fold-*` checkpoints, or one checkpoint)."""

    def __init__(self, members: Sequence[Checkpoint]) -> None:
        if not members:
            raise CheckpointError("no member of the property model is given")
        self.networks = [m.network for m in members]
        self.scales: list[PropertyScale] = []
        self.elements: list[set[int]] = []
        for member in members:
            with named_faults(member.path):
                self.scales.append(PropertyScale(**member.config["scale"]))
                self.elements.append(set(member.config["elements"]))
                self.column: str = member.config["column"]  # the same in all

    @classmethod
    def load(cls, directory: Path | str) -> PropertyModel:
        """Load all members.

        Args:
            directory: A folder with `fold-*` checkpoints, or one checkpoint.

        Returns:
            The model.

        Raises:
            CheckpointError: There is none, or one is damaged.
        """
        directory = Path(directory)
        folders = sorted(p for p in directory.glob("fold-*") if p.is_dir()) or [directory]
        return cls([load_checkpoint(folder, kind=KIND) for folder in folders])

    def predict(self, crystals: Sequence[Crystal]) -> list[PropertyPrediction]:
        """Predictions from the members that have seen all elements of a structure.

        Args:
            crystals: Structures.

        Returns:
            One prediction for each; where no member knows the elements, that structure alone is refused, with their
            numbers.
        """
        values = np.full((len(self.networks), len(crystals)), np.nan)  # (members, M)
        asked = np.zeros(values.shape, dtype=bool)
        for k, (network, scale, known) in enumerate(zip(self.networks, self.scales, self.elements, strict=True)):
            rows = [i for i, c in enumerate(crystals) if set(c.atomic_numbers.tolist()) <= known]
            asked[k, rows] = True
            if rows:
                values[k, rows] = scale.from_unit(unit_predictions(network, [crystals[i] for i in rows]))
        return [self._prediction(values[asked[:, i], i], c) for i, c in enumerate(crystals)]

    def _prediction(self, answers: NDArray[np.float64], crystal: Crystal) -> PropertyPrediction:
        if len(answers) == 0:
            unseen = sorted(set(crystal.atomic_numbers.tolist()) - max(self.elements, key=len))
            names = unseen or sorted(set(crystal.atomic_numbers.tolist()))
            return PropertyPrediction(None, None, f"element outside the training data: atomic numbers {names}")
        if not np.isfinite(answers).all():
            return PropertyPrediction(None, None, "the network returned NaN")
        n = len(answers)
        return PropertyPrediction(float(answers.mean()), float(answers.std()) if n > 1 else None, n_members=n)
