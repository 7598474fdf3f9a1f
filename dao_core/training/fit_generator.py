"""Training DAO-G: from packed structures to a generator checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dao_core.crystal import CrystalBatch
from dao_core.generate.diffusion import diffusion_loss
from dao_core.generate.flow_matching import FlowPath, FlowSettings, Seeds, flow_loss, training_base
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import (
    Checkpoint,
    CheckpointContent,
    CheckpointError,
    continued_card,
    earlier_trainings,
    load_checkpoint,
    save_checkpoint,
)
from dao_core.models.lattice_base import LatticeBase
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import is_main_rank
from dao_core.training.job import TrainingJob
from dao_core.training.packed import Batch, PackedCrystals
from dao_core.training.trainer import run_training


@dataclass(frozen=True)
class GeneratorData:
    """Training structures, and templates retrieved for them.

    Attributes:
        structures: Niggli cells.
        templates: Retrieved templates with the aligned target as labels (see seeds.py); None: made-up ones.
        template_rows: Rows of `templates` for each structure, (M, K), -1 where there is none.
    """

    structures: PackedCrystals
    templates: PackedCrystals | None = None
    template_rows: torch.Tensor | None = None


@dataclass(frozen=True)
class GeneratorObjective:
    """The generator's loss on a batch of `data`; a class of its own, because ranks pickle it."""

    config: TrainingConfig
    base: LatticeBase
    data: GeneratorData

    def __call__(self, network: nn.Module, batch: Batch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Flow or diffusion loss of the batch, "loss" and its parts."""
        crystals, config = batch.crystals, self.config
        if config.process == "diffusion":
            return diffusion_loss(network, crystals, rng)
        # on the CPU, where the templates are chosen
        seeded = torch.rand(len(crystals), generator=rng, dtype=torch.float32) < config.flow.seeded_share
        template, target, has = _pick_template(batch, self.data, seeded, rng)
        path = FlowPath(self.base, config.flow)
        start = training_base(target, Seeds(seeded.to(has.device), has, template), path, rng)
        return flow_loss(network, start, target, path, rng)


def _pick_template(
    batch: Batch, data: GeneratorData, seeded: torch.Tensor, rng: torch.Generator
) -> tuple[CrystalBatch | None, CrystalBatch, torch.Tensor]:
    """One random retrieved template for each `seeded` (B,) structure, the targets, and which of them have one (B,).

    Those are in their template's cell setting and atom order, all others in their own: samples from noise are to be
    Niggli cells like the training data.
    """
    crystals, templates, rows = batch.crystals, data.templates, data.template_rows
    device = crystals.lattice.device
    none = torch.zeros(len(crystals), dtype=torch.bool, device=device)
    if templates is None or rows is None:
        return None, crystals, none
    options = rows[batch.rows]  # (B, K)
    column = (torch.rand(len(crystals), generator=rng) * options.shape[1]).long()
    chosen = options.gather(1, column.unsqueeze(1)).squeeze(1)
    has = (chosen >= 0) & seeded
    if not has.any():
        return None, crystals, none
    found, has = templates.gather(chosen.clamp_min(0).numpy()).to(device), has.to(device)
    n = crystals.atomic_numbers.shape[1]
    pick = has.view(-1, 1, 1)
    numbers = torch.where(
        has.unsqueeze(1), _pad(found.crystals.atomic_numbers.unsqueeze(-1), n).squeeze(-1), crystals.atomic_numbers
    )
    template = CrystalBatch(found.crystals.lattice, _pad(found.crystals.frac_coords, n), numbers)
    target = CrystalBatch(
        torch.where(pick, found.labels["target_lattice"], crystals.lattice),
        torch.where(pick, _pad(found.labels["target_frac"], n), crystals.frac_coords),
        numbers,
    )
    return template, target, has


def _pad(x: torch.Tensor, n: int) -> torch.Tensor:
    """Cut or pad the atom axis to n."""
    if x.shape[1] >= n:
        return x[:, :n]
    return torch.nn.functional.pad(x, (0, 0, 0, n - x.shape[1]))


@dataclass
class _Start:
    """The network that a training starts from, and what its checkpoint will say of it."""

    network: nn.Module
    base: LatticeBase
    model: dict[str, Any]
    elements: set[int]
    max_atoms: int
    card: str
    earlier: list[dict[str, Any]]


def continued_path(config: TrainingConfig, earlier: Checkpoint) -> TrainingConfig:
    """Settings that continue a generator along the path that its weights were trained for.

    Args:
        config: As they were given.
        earlier: The generator that is continued.

    Returns:
        The settings, with those of the checkpoint for all that their `flow` doesn't name.

    Raises:
        CheckpointError: They ask for another process, or for another unit of the outputs.
    """
    if earlier.config["process"] != config.process:
        raise CheckpointError(
            f"{earlier.path} was trained by {earlier.config['process']}, the settings ask for {config.process}: "
            "its outputs mean something else; change `process`, or start anew"
        )
    known = FlowSettings.model_validate(earlier.config.get("flow", {}))
    flow = known.model_copy(update={name: getattr(config.flow, name) for name in config.flow.model_fields_set})
    if config.process == "flow" and flow.synthetic_lattice_noise != known.synthetic_lattice_noise:
        raise CheckpointError(
            f"{earlier.path} was trained with synthetic_lattice_noise {known.synthetic_lattice_noise:g}, the unit of "
            f"its outputs, the settings ask for {flow.synthetic_lattice_noise:g}: leave it out, or start anew"
        )
    return config.model_copy(update={"flow": flow})


def _start(data: PackedCrystals, config: TrainingConfig, card: str, earlier: Checkpoint | None) -> _Start:
    """A fresh network, or that of the checkpoint which the settings continue."""
    seen, largest = {int(z) for z in data.atomic_numbers}, int(data.n_atoms.max())
    if earlier is None:
        base = LatticeBase.fit([data.crystal(i) for i in range(len(data))])
        return _Start(build_network(config.model), base, config.model.model_dump(), seen, largest, card, [])
    return _Start(
        earlier.network.train(),
        LatticeBase.from_state(earlier.config["lattice_base"]),
        earlier.config["model"],
        seen | set(earlier.config["elements"]),
        max(largest, int(earlier.config["max_atoms"])),
        continued_card(card, earlier),
        earlier_trainings(earlier),
    )


def fit_generator(
    data: GeneratorData, config: TrainingConfig, directory: Path, provenance: Provenance
) -> dict[str, Any]:
    """Train DAO-G and write `directory/checkpoint`.

    Args:
        data: Structures and their templates.
        config: How; `start_from` continues the weights of a checkpoint, whose network it keeps, and whose path where
            `flow` says nothing else.
        directory: Working folder, where a stopped run goes on.
        provenance: What is said of the data.

    Returns:
        The facts of the run (see `run_training`).

    Raises:
        CheckpointError: The checkpoint to continue is missing, damaged or of another process or unit.
        SettingsError: A setting is none of a generator.
    """
    config = config.for_generator()
    earlier = None if config.start_from is None else load_checkpoint(config.start_from, kind="generator")
    if earlier is not None:
        config = continued_path(config, earlier)
    torch.manual_seed(config.seed)
    start = _start(data.structures, config, provenance.card, earlier)
    objective = GeneratorObjective(config, start.base, data)
    facts = run_training(TrainingJob(start.network, objective, data.structures, directory), config)
    if not is_main_rank():
        return facts
    extra = {
        "process": config.process,
        "flow": config.flow.model_dump(),
        "lattice_base": start.base.state(),
        "elements": sorted(start.elements),
        "max_atoms": start.max_atoms,
        "training": facts,
        "earlier_training": start.earlier,
        "data": provenance.about,
    }
    save_checkpoint(
        directory / "checkpoint",
        start.network.state_dict(),
        CheckpointContent("generator", start.model, extra, start.card),
    )
    return facts
