"""Training runs: from packed structures to a checkpoint directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dao_core.crystal import CrystalBatch
from dao_core.generate.diffusion import diffusion_loss
from dao_core.generate.flow_matching import flow_loss, training_base
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import CheckpointError, continued_card, load_checkpoint, save_checkpoint
from dao_core.models.lattice_base import LatticeBase
from dao_core.models.noise import uniform
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import fit_in_ranks, in_rank, is_main_rank
from dao_core.training.module import Objective
from dao_core.training.packed import Batch, PackedCrystals
from dao_core.training.trainer import run_training


def generator_objective(
    config: TrainingConfig, base: LatticeBase, templates: PackedCrystals | None, template_rows: torch.Tensor | None
) -> Objective:
    """The generator's loss. `template_rows` (M, K) lists rows of `templates` retrieved for each structure, -1: none."""

    def objective(network: nn.Module, batch: Batch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        crystals = batch.crystals
        if config.process == "diffusion":
            return diffusion_loss(network, crystals, rng)
        seeded = uniform(len(crystals), rng=rng, like=crystals.lattice) < config.flow.seeded_share
        template, target, has = _pick_template(batch, templates, template_rows, seeded, rng)
        start = training_base(target, template, has, seeded, base, config.flow, rng)
        return flow_loss(network, start, target, base, config.flow, rng)

    return objective


def _pick_template(
    batch: Batch,
    templates: PackedCrystals | None,
    rows: torch.Tensor | None,
    seeded: torch.Tensor,
    rng: torch.Generator,
) -> tuple[CrystalBatch | None, CrystalBatch, torch.Tensor]:
    """One random retrieved template for each `seeded` structure, the targets, and which of them have a template (B,).

    Those are in their template's cell setting and atom order, all others in their own: samples from noise are to be
    Niggli cells like the training data.
    """
    crystals = batch.crystals
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
    target_lattice, target_frac = found.labels["target_lattice"], _pad(found.labels["target_frac"], n)
    template = CrystalBatch(found.crystals.lattice, _pad(found.crystals.frac_coords, n), crystals.atomic_numbers)
    pick = has.view(-1, 1, 1)
    numbers = torch.where(
        has.unsqueeze(1), _pad(found.crystals.atomic_numbers.unsqueeze(-1), n).squeeze(-1), crystals.atomic_numbers
    )
    target = CrystalBatch(
        torch.where(pick, target_lattice, crystals.lattice),
        torch.where(pick, target_frac, crystals.frac_coords),
        numbers,
    )
    template.atomic_numbers = numbers
    return template, target, has


def _pad(x: torch.Tensor, n: int) -> torch.Tensor:
    """Cut or pad the atom axis to n."""
    if x.shape[1] >= n:
        return x[:, :n]
    return torch.nn.functional.pad(x, (0, 0, 0, n - x.shape[1]))


def fit_generator(
    data: PackedCrystals,
    config: TrainingConfig,
    directory: Path,
    *,
    about: dict[str, Any],
    card: str,
    start_from: Path | str | None = None,
    templates: PackedCrystals | None = None,
    template_rows: torch.Tensor | None = None,
) -> dict[str, Any]:
    """Train DAO-G and write `directory/checkpoint`. `about` records the data version.

    `start_from` (else the settings' own) continues the weights of a checkpoint, whose network it keeps.
    """
    if config.ranks * config.nodes > 1 and not in_rank():
        options = {"about": about, "card": card, "start_from": start_from}
        facts: dict[str, Any] = fit_in_ranks(
            "generator", data, config, directory, templates=templates, template_rows=template_rows, **options
        )
        return facts
    torch.manual_seed(config.seed)
    seen, model = {int(z) for z in data.atomic_numbers}, config.model.model_dump()
    largest, earlier_runs = int(data.n_atoms.max()), []
    start_from = start_from or config.start_from
    if start_from is None:
        network = build_network(config.model)
        base = LatticeBase.fit([data.crystal(i) for i in range(len(data))])
    else:
        earlier = load_checkpoint(start_from, kind="generator")
        if earlier.config["process"] != config.process:
            raise CheckpointError(
                f"{earlier.path} was trained by {earlier.config['process']}, the settings ask for {config.process}: "
                "its outputs mean something else; change `process`, or start anew"
            )
        network, base = earlier.network.train(), LatticeBase.from_state(earlier.config["lattice_base"])
        seen, model = seen | set(earlier.config["elements"]), earlier.config["model"]
        largest = max(largest, int(earlier.config["max_atoms"]))
        earlier_runs = [*earlier.config.get("earlier_training", []), earlier.config.get("training", {})]
        card = continued_card(card, earlier)
    objective = generator_objective(config, base, templates, template_rows)
    facts = run_training(network, objective, data, config, directory)
    if not is_main_rank():
        return facts
    extra = {
        "process": config.process,
        "flow": config.flow.model_dump(),
        "lattice_base": base.state(),
        "elements": sorted(seen),
        "max_atoms": largest,
        "training": facts,
        "earlier_training": earlier_runs,
        "data": about,
    }
    save_checkpoint(
        directory / "checkpoint",
        network.state_dict(),
        kind="generator",
        model=model,
        extra=extra,
        card=card,
    )
    return facts
