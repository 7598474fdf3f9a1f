"""Training DAO-P: from labelled structures to a predictor checkpoint with calibrated spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.energy.objective import EnergyObjective
from dao_core.energy.predictor import N_ENERGIES, DaoPotential, EnergyScale
from dao_core.energy.uncertainty import calibrate
from dao_core.models.build import build_network, parse_model_config
from dao_core.models.checkpoint_io import Checkpoint, continued_card, load_checkpoint, save_checkpoint
from dao_core.models.lattice_base import LatticeBase
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import fit_in_ranks, in_rank, is_main_rank
from dao_core.training.packed import PackedCrystals
from dao_core.training.trainer import run_training

ADAPT_ROWS = 10_000


class LabelError(ValueError):
    """The training set lacks labels that a predictor needs."""


def pack_labelled(
    crystals: Sequence[Crystal],
    *,
    formation_energy_per_atom: Sequence[float],
    e_above_hull: Sequence[float],
    source: Sequence[int],
    forces: Sequence[NDArray[np.float64] | None],
    stress: Sequence[NDArray[np.float64] | None],
) -> PackedCrystals:
    """Packed structures with labels; NaN or None where a label is unknown. eV/atom, eV/A, eV/A^3 (tension positive)."""
    data = PackedCrystals.from_crystals(
        crystals, formation_energy_per_atom=formation_energy_per_atom, e_above_hull=e_above_hull, source=source
    )
    if any(f is not None for f in forces):
        unknown = [np.full((c.n_atoms, 3), np.nan) if f is None else f for c, f in zip(crystals, forces, strict=True)]
        data.atom_labels["forces"] = np.concatenate(unknown).astype(np.float32)
        cells = [np.full(9, np.nan) if s is None else np.asarray(s).reshape(9) for s in stress]
        data.cell_labels["stress"] = np.stack(cells).astype(np.float32)
    return data


def element_fractions(data: PackedCrystals) -> NDArray[np.float64]:
    """Composition of each row, (M, 101)."""
    rows = np.repeat(np.arange(len(data)), data.n_atoms)
    counts = np.zeros((len(data), 101))
    np.add.at(counts, (rows, data.atomic_numbers.astype(int)), 1.0)
    return counts / data.n_atoms[:, None]


def adapted_scale(earlier: Checkpoint, data: PackedCrystals, sources: list[str]) -> EnergyScale:
    """The scale of a trained predictor for labels of `sources`, its spread to be calibrated anew.

    Where the sources are not those it was trained on, each gets the earlier reference plus one correction an element,
    fitted to what the earlier predictor leaves over on at most ADAPT_ROWS rows.
    """
    scale = EnergyScale.from_state(earlier.config["energy_scale"])
    if scale.sources != sources:
        known = np.flatnonzero(np.isfinite(data.labels["formation_energy_per_atom"]))
        rows = data.take(np.random.default_rng(0).permutation(known)[:ADAPT_ROWS])
        found = DaoPotential(earlier).predict([rows.crystal(i) for i in range(len(rows))])
        left = rows.labels["formation_energy_per_atom"] - np.array([p.formation_energy_per_atom for p in found])
        scale = scale.adapted(element_fractions(rows), left, rows.labels["source"].astype(int), sources)
        for p in earlier.network.parameters():
            p.requires_grad_(True)  # the potential froze them
    scale.spread_factor, scale.spread_floor = 1.0, 0.0
    return scale


def fit_predictor(
    data: PackedCrystals,
    config: TrainingConfig,
    directory: Path,
    *,
    sources: list[str],
    about: dict[str, Any],
    card: str,
    validation: PackedCrystals | None = None,
    start_from: Path | str | None = None,
) -> dict[str, Any]:
    """Train DAO-P and write `directory/checkpoint`. Raises LabelError where no formation energy is known.

    `start_from` (else the settings' own) continues the weights of a checkpoint, whose network it keeps; labels of other
    sources than it was trained on are brought to its scale by one correction an element.
    `validation` rows (formation energies of the reference source) calibrate the ensemble spread.
    """
    if config.ranks * config.nodes > 1 and not in_rank():
        options = {"sources": sources, "about": about, "card": card, "start_from": start_from}
        done: dict[str, Any] = fit_in_ranks("predictor", data, config, directory, validation=validation, **options)
        return done
    formation = data.labels["formation_energy_per_atom"].astype(np.float64)
    if not np.isfinite(formation).any():
        raise LabelError("no row has a formation energy: rebuild the database with a source that carries energies")
    torch.manual_seed(config.seed)
    model = config.model.model_copy(update={"n_energies": N_ENERGIES}).model_dump()
    elements = {int(z) for z in data.atomic_numbers}
    largest, earlier_runs = int(data.n_atoms.max()), []
    start_from = start_from or config.start_from
    if start_from is None:
        network = build_network(parse_model_config(model))
        base = LatticeBase.fit([data.crystal(i) for i in range(len(data))])
        scale = EnergyScale.fit(
            element_fractions(data), formation, data.labels["source"].astype(int), sources,
            data.labels["e_above_hull"].astype(np.float64),
        )  # fmt: skip
    else:
        earlier = load_checkpoint(start_from, kind="predictor")
        network = earlier.network.train()
        base = LatticeBase.from_state(earlier.config["lattice_base"])
        scale = adapted_scale(earlier, data, sources)
        model, elements = earlier.config["model"], elements | set(earlier.config["elements"])
        largest = max(largest, int(earlier.config.get("max_atoms", 0)))
        earlier_runs = [*earlier.config.get("earlier_training", []), earlier.config.get("training", {})]
        card = continued_card(card, earlier)
    facts = run_training(network, EnergyObjective(config.energy, scale, base), data, config, directory)
    if not is_main_rank():
        return facts
    extra = {
        "energy_scale": scale.state(),
        "lattice_base": base.state(),
        "elements": sorted(elements),
        "max_atoms": largest,
        "energy": config.energy.model_dump(),
        "training": facts,
        "earlier_training": earlier_runs,
        "data": about,
    }

    def save() -> None:
        folder = directory / "checkpoint"
        save_checkpoint(folder, network.state_dict(), kind="predictor", model=model, extra=extra, card=card)

    save()
    if validation is not None and len(validation):
        potential = DaoPotential.load(directory / "checkpoint")
        crystals = [validation.crystal(i) for i in range(len(validation))]
        report = calibrate(
            predictions=potential.predict(crystals),
            labels=validation.labels["formation_energy_per_atom"].astype(np.float64),
        )
        scale.spread_factor, scale.spread_floor = report.factor, report.floor
        extra["energy_scale"], extra["calibration"] = scale.state(), report.summary()
        facts["validation_mae_eV_per_atom"] = report.mae
        save()
    return facts
