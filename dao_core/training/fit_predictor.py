"""Training DAO-P: from labelled structures to a predictor checkpoint with calibrated spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dao_core.crystal import Crystal
from dao_core.energy.domain import TrainedDomain
from dao_core.energy.objective import EnergyObjective
from dao_core.energy.predictor import N_ENERGIES, DaoPotential
from dao_core.energy.scale import EnergyRows, EnergyScale
from dao_core.models.build import build_network, grown, parse_model_config
from dao_core.models.checkpoint_io import (
    Checkpoint,
    CheckpointContent,
    continued_card,
    earlier_trainings,
    load_checkpoint,
    save_checkpoint,
)
from dao_core.models.lattice_base import LatticeBase
from dao_core.training.calibration import calibrate_or_keep
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import is_main_rank
from dao_core.training.job import TrainingJob
from dao_core.training.packed import PackedCrystals
from dao_core.training.trainer import run_training

ADAPT_ROWS = 10_000
DOMAIN_ROWS = 10_000
Array = NDArray[np.float64]


class LabelError(ValueError):
    """The training set lacks labels that a predictor needs."""


@dataclass(frozen=True)
class TrainingLabels:
    """Labels of structures, one entry each; NaN or None where one is unknown.

    Attributes:
        formation_energy_per_atom: eV/atom.
        e_above_hull: eV/atom.
        source: Number of the label source, which may count its energies from another zero.
        forces: (N, 3) in eV/angstrom.
        stress: (3, 3) in eV/angstrom^3, tension positive.
    """

    formation_energy_per_atom: Sequence[float]
    e_above_hull: Sequence[float]
    source: Sequence[int]
    forces: Sequence[Array | None]
    stress: Sequence[Array | None]


@dataclass(frozen=True)
class PredictorData:
    """Labelled rows for training and, where there are some, held-out ones to calibrate the spread.

    Attributes:
        train: Packed structures with the labels of `pack_labelled`.
        sources: Names of the label sources, the reference first.
        validation: The same, held out; only rows on the reference's scale calibrate.
        one_scale: All sources count from the same zero, which is also that of the predictor that is continued.
    """

    train: PackedCrystals
    sources: list[str]
    validation: PackedCrystals | None = None
    one_scale: bool = False

    def held_out(self) -> tuple[list[Crystal], Array]:
        """What calibrates: predictions are on the reference's scale, so labels of other sources say nothing of them.

        Returns:
            Held-out structures of the reference, of all sources where they share its scale, and their known formation
            energies in eV/atom, (M,).
        """
        if self.validation is None:
            return [], np.empty(0)
        labels = self.validation.labels["formation_energy_per_atom"].astype(np.float64)
        usable = np.isfinite(labels)
        if not self.one_scale:
            usable &= self.validation.labels["source"] == 0
        rows = np.flatnonzero(usable)
        return [self.validation.crystal(int(i)) for i in rows], labels[rows]


def pack_labelled(crystals: Sequence[Crystal], labels: TrainingLabels) -> PackedCrystals:
    """Packed structures with labels.

    Args:
        crystals: Structures.
        labels: Their labels, in the same order.

    Returns:
        The rows; forces and stresses are there where at least one is known.
    """
    data = PackedCrystals.from_crystals(
        crystals, formation_energy_per_atom=labels.formation_energy_per_atom, e_above_hull=labels.e_above_hull,
        source=labels.source,
    )  # fmt: skip
    if any(f is not None for f in labels.forces):
        forces = zip(crystals, labels.forces, strict=True)
        data.atom_labels["forces"] = np.concatenate(
            [np.full((c.n_atoms, 3), np.nan) if f is None else f for c, f in forces]
        ).astype(np.float32)
        cells = [np.full(9, np.nan) if s is None else np.asarray(s).reshape(9) for s in labels.stress]
        data.cell_labels["stress"] = np.stack(cells).astype(np.float32)
    return data


def element_fractions(data: PackedCrystals) -> NDArray[np.float64]:
    """Composition of each row.

    Args:
        data: Structures.

    Returns:
        Share of each element, (M, 101).
    """
    rows = np.repeat(np.arange(len(data)), data.n_atoms)
    counts = np.zeros((len(data), 101))
    np.add.at(counts, (rows, data.atomic_numbers.astype(int)), 1.0)
    return counts / data.n_atoms[:, None]


def adapted_scale(earlier: Checkpoint, data: PredictorData) -> EnergyScale:
    """The scale of a trained predictor for other label sources, with its own spread.

    Where the sources are not those it was trained on, each gets the earlier reference plus one correction an element,
    fitted to what the earlier predictor leaves over on at most ADAPT_ROWS rows, unless all labels are on its scale.

    Args:
        earlier: The predictor's checkpoint.
        data: The new rows.

    Returns:
        The scale to train with.
    """
    scale = EnergyScale.from_state(earlier.config["energy_scale"])
    if data.one_scale:
        same = np.repeat(scale.baseline[:1], len(data.sources), axis=0)
        scale = replace(scale, baseline=same, sources=data.sources)
    elif scale.sources != data.sources:
        known = np.flatnonzero(np.isfinite(data.train.labels["formation_energy_per_atom"]))
        rows = data.train.take(np.random.default_rng(0).permutation(known)[:ADAPT_ROWS])
        predicted = DaoPotential(earlier).predict([rows.crystal(i) for i in range(len(rows))])
        left = rows.labels["formation_energy_per_atom"] - np.array([p.formation_energy_per_atom for p in predicted])
        there = np.isfinite(left)  # a cell that is too flat for the predictor has no prediction
        fractions, source = element_fractions(rows), rows.labels["source"].astype(int)
        scale = scale.adapted(fractions[there], left[there], source[there], data.sources)
    return scale


@dataclass
class _Start:
    """The network that a training starts from, and what its checkpoint will say of it."""

    network: nn.Module
    base: LatticeBase
    scale: EnergyScale
    model: dict[str, Any]
    elements: set[int]
    max_atoms: int
    domain: TrainedDomain | None
    card: str
    earlier: Checkpoint | None


def _start(data: PredictorData, config: TrainingConfig, card: str) -> _Start:
    """A fresh network, or that of the checkpoint which the settings continue."""
    train = data.train
    elements, largest = {int(z) for z in train.atomic_numbers}, int(train.n_atoms.max())
    if config.start_from is None:
        model = config.model.model_copy(update={"n_energies": N_ENERGIES}).model_dump()
        base = LatticeBase.fit([train.crystal(i) for i in range(len(train))])
        known = ("formation_energy_per_atom", "e_above_hull")
        columns = {name: train.labels[name].astype(np.float64) for name in known}
        scale = EnergyScale.fit(
            EnergyRows(element_fractions(train), columns["formation_energy_per_atom"],
                       train.labels["source"].astype(int), columns["e_above_hull"], data.sources)
        )  # fmt: skip
        network, domain = build_network(parse_model_config(model)), _domain(train, base.volumes.double().numpy())
        return _Start(network, base, scale, model, elements, largest, domain, card, None)
    earlier = load_checkpoint(config.start_from, kind="predictor")
    network, model = earlier.network, earlier.config["model"]
    if config.grow is not None:
        network = grown(network, config.grow)
        model = network.config.model_dump()
    return _Start(
        network.train(),
        LatticeBase.from_state(earlier.config["lattice_base"]),
        adapted_scale(earlier, data),
        model,
        elements | set(earlier.config["elements"]),
        max(largest, int(earlier.config.get("max_atoms", 0))),
        _joined_domain(train, earlier),
        continued_card(card, earlier),
        earlier,
    )


def fit_predictor(
    data: PredictorData, config: TrainingConfig, directory: Path, provenance: Provenance
) -> dict[str, Any]:
    """Train DAO-P and write `directory/checkpoint`.

    Args:
        data: Labelled rows; the held-out ones calibrate the spread.
        config: How; `start_from` continues the weights of a checkpoint, whose network it keeps. Labels of other
            sources than it was trained on are brought to its scale by one correction an element. Its domain stays
            known, and its spread too where too few formulas are held out to calibrate a new one.
        directory: Working folder, where a stopped run goes on.
        provenance: What is said of the data.

    Returns:
        The facts of the run (see `run_training`), and the error on the held-out rows or where the spread is from.

    Raises:
        LabelError: No formation energy is known.
        CheckpointError: The checkpoint to continue is missing or damaged.
    """
    if not np.isfinite(data.train.labels["formation_energy_per_atom"]).any():
        raise LabelError("no row has a formation energy: rebuild the database with a source that carries energies")
    torch.manual_seed(config.seed)
    start = _start(data, config, provenance.card)
    objective = EnergyObjective(config.energy, start.scale, start.base)
    if config.energy.forces and "forces" in data.train.atom_labels:
        config = config.model_copy(update={"compile": "never"})  # torch.compile lacks the second derivatives of forces
    facts = run_training(TrainingJob(start.network, objective, data.train, directory), config)
    if not is_main_rank():
        return facts
    extra = {
        "energy_scale": start.scale.state(),
        "lattice_base": start.base.state(),
        "elements": sorted(start.elements),
        "max_atoms": start.max_atoms,
        **({} if start.domain is None else {"domain": start.domain.state()}),
        "energy": config.energy.model_dump(),
        "training": facts,
        "earlier_training": [] if start.earlier is None else earlier_trainings(start.earlier),
        "data": provenance.about,
    }
    content = CheckpointContent("predictor", start.model, extra, start.card)
    save_checkpoint(directory / "checkpoint", start.network.state_dict(), content)
    return facts | calibrate_or_keep(directory / "checkpoint", content, data.held_out(), start.earlier)


def _domain(train: PackedCrystals, volumes: Array) -> TrainedDomain:
    """Where the training rows lie; a few thousand of them say it. `volumes` (101,) are usual ones in angstrom^3."""
    rows = np.random.default_rng(0).permutation(len(train))[:DOMAIN_ROWS]
    domain = TrainedDomain.fit((train.crystal(int(i)) for i in rows), volumes)
    return replace(domain, elements=tuple(sorted({int(z) for z in train.atomic_numbers})))


def _joined_domain(train: PackedCrystals, earlier: Checkpoint) -> TrainedDomain | None:
    """Where the rows of a predictor that is continued and the new ones lie; None where the former are not known."""
    state = earlier.config.get("domain")
    if state is None:
        return None
    known = TrainedDomain.from_state(state)
    return known.joined(_domain(train, np.array(known.volumes)))
