"""DAO-G as its users see it: a composition in, proposals out, each reproducible by (seed, composition, sample)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dao_core.crystal import Crystal, CrystalBatch, InvalidCrystalError
from dao_core.elements import SYMBOLS, atomic_number
from dao_core.generate.constraints import Constraint, ConstraintError, Rules
from dao_core.generate.diffusion import DiffusionGuide, sample_diffusion
from dao_core.generate.flow_matching import FlowPath, FlowSettings, FlowState
from dao_core.generate.integrate import Guidance, SamplerSettings, Steering, integrate
from dao_core.generate.symmetry.wyckoff_sites import SitePlan, SitesError, kept_sites
from dao_core.models.checkpoint_io import SHIPPED, Checkpoint, load_checkpoint, named_faults
from dao_core.models.heads import Outputs
from dao_core.models.lattice_base import LatticeBase

if TYPE_CHECKING:
    from dao_core.generate.symmetry.generator import SymmetryGenerator

DE_NOVO = "de novo"
BATCH_PAIRS = 60_000  # most atom pairs of a padded batch


class UnseenElementError(ValueError):
    """The generator was never trained on an element of the formula."""


@dataclass
class Proposal:
    """One sample: a structure with its origin ("de novo" or a template id), or the reason why there is none.

    `share` is that of its cell content's draws for which it stands, where repeats were drawn anew.
    """

    crystal: Crystal | None
    origin: str
    seed: int
    model: str
    reason: str = ""
    share: float | None = None


@dataclass(frozen=True)
class SampleStart:
    """One sample to draw: its atoms (N,), its own seed, the template to start from and what is given of it, if any."""

    atomic_numbers: NDArray[np.int64]
    seed: int
    template: Crystal | None = None
    origin: str = DE_NOVO
    constraint: Constraint | None = None


def sample_seed(seed: int, composition: dict[str, int], index: int, origin: str = DE_NOVO) -> int:
    """The seed of one sample: a pure function of its arguments.

    Args:
        seed: Of the run.
        composition: Symbol -> atoms of the cell.
        index: Number of the sample.
        origin: Kind of the sample; each kind has seeds of its own.

    Returns:
        A seed.
    """
    text = f"{seed}|{sorted(composition.items())}|{index}|{origin}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def numbers_of(composition: dict[str, int]) -> NDArray[np.int64]:
    """Atomic numbers of a cell's content, (N,), grouped by element."""
    return np.concatenate([np.full(count, atomic_number(symbol)) for symbol, count in sorted(composition.items())])


def _noise(
    starts: Sequence[SampleStart], streams: Sequence[np.random.Generator], n: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fresh base noise of each sample's own stream, (B, n, 3) and (B, 6)."""
    frac = np.zeros((len(starts), n, 3), dtype=np.float32)
    for row, stream in enumerate(streams):
        size = len(starts[row].atomic_numbers)
        frac[row, :size] = stream.random((size, 3)) - 0.5
    return torch.as_tensor(frac), torch.as_tensor(np.stack([s.normal(size=6) for s in streams]), dtype=torch.float32)


def placed(network: nn.Module, device: torch.device | str) -> nn.Module:
    """The network on a device, while all that calls it stays on the CPU: tensors go there and back with each call.

    Args:
        network: Any.
        device: Such as "cuda".

    Returns:
        The same network, moved there.
    """

    def there(_: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(x.to(device) for x in given)

    def back(_: nn.Module, __: tuple[torch.Tensor, ...], out: Outputs) -> Outputs:
        return Outputs(*(getattr(out, f.name).cpu() for f in fields(out)))

    network.to(device)
    network.register_forward_pre_hook(there)
    network.register_forward_hook(back)
    return network


class Generator:
    """A trained DAO-G. Its network runs on `device`, by default a GPU where there is one."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: SamplerSettings | None = None,
        *,
        device: torch.device | str | None = None,
    ) -> None:
        config = checkpoint.config
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.network = checkpoint.network if str(device) == "cpu" else placed(checkpoint.network, device)
        self.identity = checkpoint.identity
        with named_faults(checkpoint.path):
            self.process: str = config["process"]
            self.path = FlowPath(LatticeBase.from_state(config["lattice_base"]), FlowSettings(**config["flow"]))
            self.elements = set(config["elements"])
            self.max_atoms = int(config["max_atoms"])
            self.settings = settings or SamplerSettings(**config.get("sampler", {}))
        self.ships = False  # whether this is the checkpoint that ships

    @property
    def base(self) -> LatticeBase:
        """The base distribution of lattices."""
        return self.path.base

    @property
    def flow(self) -> FlowSettings:
        """Settings of the path that are fixed at training time."""
        return self.path.settings

    @classmethod
    def load(cls, directory: Path | str = "generator", settings: SamplerSettings | None = None) -> Generator:
        """Load a generator.

        Args:
            directory: Folder of a checkpoint; `generator` is the one that ships.
            settings: How it samples; None: the checkpoint's own.

        Returns:
            The generator.

        Raises:
            CheckpointError: The checkpoint is missing, damaged or of another kind.
        """
        checkpoint = load_checkpoint(directory, kind="generator")
        generator = cls(checkpoint, settings)
        generator.ships = checkpoint.path == SHIPPED / "generator"
        return generator

    @cached_property
    def symmetry(self) -> SymmetryGenerator | None:
        """The model that proposes by symmetry: ships beside the shipped generator, None with another checkpoint."""
        from dao_core.generate.symmetry.generator import SymmetryGenerator

        return SymmetryGenerator.load() if self.ships else None

    def check(self, composition: dict[str, int]) -> None:
        """Raise UnseenElementError for an element outside the training data; warn above the trained cell size."""
        unseen = [s for s in composition if atomic_number(s) not in self.elements]
        if unseen:
            raise UnseenElementError(
                f"the generator never saw {', '.join(unseen)}: use templates, or train on data with it"
            )
        if sum(composition.values()) > self.max_atoms:
            warnings.warn(
                f"{sum(composition.values())} atoms a cell, trained on at most {self.max_atoms}: "
                "expect worse structures",
                stacklevel=3,
            )

    def propose(
        self,
        composition: dict[str, int],
        n: int,
        seed: int,
        templates: Sequence[tuple[str, Crystal]] = (),
        *,
        constraint: Constraint | None = None,
    ) -> list[Proposal]:
        """Draw samples of a cell content: some from noise, and one from each template.

        Args:
            composition: Symbol -> atoms of the cell.
            n: Samples from noise; they keep what `constraint` gives.
            seed: Of the run.
            templates: (id, structure) with the atoms of the cell.
            constraint: A part of the structure that is given.

        Returns:
            The proposals, those from noise first.

        Raises:
            UnseenElementError: An element was not in the training set.
            ConstraintError: The composition does not hold what is given.
        """
        self.check(composition)
        numbers = numbers_of(composition) if constraint is None else constraint.numbers(composition)
        starts = [SampleStart(numbers, sample_seed(seed, composition, i), constraint=constraint) for i in range(n)]
        starts += [
            SampleStart(t.atomic_numbers, sample_seed(seed, composition, i, name), t, name)
            for i, (name, t) in enumerate(templates)
        ]
        return self.sample(starts)

    def sample(
        self, starts: Sequence[SampleStart], guidance: Guidance | DiffusionGuide | None = None
    ) -> list[Proposal]:
        """Draw many samples, batched by size.

        Args:
            starts: What is drawn: atoms, seed, and a template or a constraint.
            guidance: Steers the samples towards low energies.

        Returns:
            A proposal for each start, in order; one that failed has no structure.
        """
        out, plans = self._plans(starts)
        order = sorted(
            (i for i, p in enumerate(out) if p is None),
            key=lambda i: (starts[i].template is not None, len(starts[i].atomic_numbers)),
        )
        while order:
            first = starts[order[0]]
            rows = [order.pop(0)]
            while order and (starts[order[0]].template is None) == (first.template is None):
                size = len(starts[order[0]].atomic_numbers)
                if (len(rows) + 1) * size**2 > BATCH_PAIRS or size > len(first.atomic_numbers) + 2:
                    break  # full, or padding would cost more than another call
                rows.append(order.pop(0))
            made = self._batch([starts[i] for i in rows], [plans.get(i) for i in rows], guidance)
            for row, proposal in zip(rows, made, strict=True):
                out[row] = proposal
        return [p for p in out if p is not None]

    def _plans(self, starts: Sequence[SampleStart]) -> tuple[list[Proposal | None], dict[int, SitePlan]]:
        """Sites of the samples that keep a space group; a sample for which there are none is answered already."""
        out: list[Proposal | None] = [None] * len(starts)
        plans: dict[int, SitePlan] = {}
        for i, start in enumerate(starts):
            plan = None
            try:
                if start.constraint is not None:
                    plan = start.constraint.plan(start.atomic_numbers, start.seed)
                elif start.template is not None and self.settings.seeded_symprec:
                    plan = kept_sites(start.template, self.settings.seeded_symprec)
            except SitesError as error:
                out[i] = Proposal(None, start.origin, start.seed, self.identity, str(error))
                continue
            if plan is not None:
                plans[i] = plan
        return out, plans

    def _batch(
        self,
        starts: Sequence[SampleStart],
        plans: Sequence[SitePlan | None],
        guidance: Guidance | DiffusionGuide | None,
    ) -> list[Proposal]:
        n = max(len(t.atomic_numbers) for t in starts)
        streams = [np.random.default_rng(t.seed) for t in starts]
        numbers = np.zeros((len(starts), n), dtype=np.int64)
        for row, start in enumerate(starts):
            numbers[row, : len(start.atomic_numbers)] = start.atomic_numbers
        given = any(t.constraint is not None for t in starts)
        if self.process == "diffusion":
            if given or starts[0].template is not None:
                what = "constraints need" if given else "templates need"
                raise ConstraintError(f"{what} a generator trained by flow matching; this one is a diffusion")
            batch = sample_diffusion(
                self.network, torch.as_tensor(numbers), streams, steps=self.settings.diffusion_steps,
                guidance=guidance,  # type: ignore[arg-type]
            )  # fmt: skip
            return [self._proposal(c, t) for c, t in zip(batch.to_crystals(), starts, strict=True)]
        state = self._flow_state(starts, streams, torch.as_tensor(numbers))
        given = given or any(p is not None for p in plans)
        rules = Rules([t.constraint for t in starts], state.atomic_numbers, self.base, plans) if given else None
        if rules is not None:
            state.frac_coords, state.z = rules.start(state.frac_coords, state.z)
        batch = integrate(
            self.network, state, self.path, self.settings,
            Steering(lambda: _noise(starts, streams, n), guidance, rules),  # type: ignore[arg-type]
        )  # fmt: skip
        crystals = batch.to_crystals()
        if rules is not None:
            crystals = [c if isinstance(c, InvalidCrystalError) else rules.finish(i, c) for i, c in enumerate(crystals)]
        return [self._proposal(c, t) for c, t in zip(crystals, starts, strict=True)]

    def _flow_state(
        self, starts: Sequence[SampleStart], streams: Sequence[np.random.Generator], numbers: torch.Tensor
    ) -> FlowState:
        b, n = numbers.shape
        frac, z = np.zeros((b, n, 3), dtype=np.float32), np.zeros((b, 6), dtype=np.float32)
        seeded = starts[0].template is not None
        for row, (start, stream) in enumerate(zip(starts, streams, strict=True)):
            size = len(start.atomic_numbers)
            jitter = stream.normal(size=(size, 3)) if seeded else stream.random((size, 3))
            z[row] = stream.normal(size=6)
            frac[row, :size] = (
                jitter if start.template is None else (start.template.frac_coords + self.flow.seed_coord_noise * jitter)
            )
        state = FlowState(
            torch.as_tensor(frac), torch.as_tensor(z), numbers, torch.full((b,), float(seeded), dtype=torch.float32)
        )
        if seeded:
            cells = CrystalBatch.from_crystals([t.template for t in starts if t.template is not None], pad_to=n)
            center = self.base.to_normal(cells.lattice, numbers)
            state.z = center + self.flow.seed_lattice_noise / self.base.std * state.z
        return state

    def _proposal(self, crystal: Crystal | InvalidCrystalError, start: SampleStart) -> Proposal:
        if isinstance(crystal, InvalidCrystalError):
            return Proposal(None, start.origin, start.seed, self.identity, str(crystal))
        return Proposal(crystal, start.origin, start.seed, self.identity)

    def unseen(self, crystal: Crystal) -> list[str]:
        """Symbols of a crystal that the generator was not trained on."""
        return [SYMBOLS[z] for z in sorted(set(crystal.atomic_numbers.tolist()) - self.elements)]
