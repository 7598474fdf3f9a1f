"""CHGNet as a potential: labels the embedded sample and is the independent judge of stability.

Optional: `pip install 'dao-csp[chgnet]'`; the wheel carries the weights (BSD licence).
Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from dao_core.crystal import Crystal
from dao_core.energy.potential import Outcome, PotentialFailure, PotentialMissingError, PotentialResult, checked
from dao_core.hull.label import EnergyLabel
from dao_core.models.checkpoint_io import weights_hash
from dao_core.models.default_dtype import default_dtype
from dao_core.units import GPA_PER_EV_A3

if TYPE_CHECKING:
    from chgnet.graph.crystalgraph import CrystalGraph
    from chgnet.model import CHGNet

CHGNET_ELEMENTS = 94  # the embedding stops at plutonium
MIN_ATOM_VOLUME = 2.5  # angstrom^3; half of the densest solids'. Below it the graph of angles eats gigabytes


class ChgnetPotential:
    """CHGNet through the common interface, on the CPU with one thread unless told otherwise.

    `batch_size` crystals go through the network at once. On a CPU one at a time is the fastest (three times faster
    than batches of 32, whose tensors fall out of the cache) and makes a result independent of its neighbours bit
    by bit; raise it on a GPU.
    """

    elements = frozenset(range(1, CHGNET_ELEMENTS + 1))

    def __init__(self, model: str = "0.3.0", *, device: str = "cpu", batch_size: int = 1) -> None:
        """Load the weights.

        Args:
            model: Name of the weights in the wheel.
            device: Where the network runs.
            batch_size: Crystals that go through the network at once.

        Raises:
            PotentialMissingError: The extra is not installed.
        """
        try:
            from chgnet.model import CHGNet
        except ImportError as error:
            raise PotentialMissingError("CHGNet is not installed: pip install 'dao-csp[chgnet]'") from error
        with contextlib.redirect_stdout(io.StringIO()), default_dtype(torch.float32):
            self._model: CHGNet = CHGNet.load(model_name=model, use_device=device, verbose=False)
        self._name = model
        self._batch_size = batch_size

    @cached_property
    def identity(self) -> str:
        """`CHGNet-<model>` and a hash of the weights."""
        return f"CHGNet-{self._name}+{weights_hash(self._model)[:12]}"

    @property
    def label(self) -> EnergyLabel:
        """Total energies with MP2020's corrections, as CHGNet was trained on."""
        return EnergyLabel(self.identity, "total", corrected=True)

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        """Energies, forces and stresses of crystals.

        Args:
            crystals: Structures of any size.

        Returns:
            One outcome for each, in order; unknown elements, isolated atoms and NaN come back as failures.
        """
        with default_dtype(torch.float32):
            return self._outcomes(crystals)

    def _outcomes(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(crystals)
        graphs: list[tuple[int, CrystalGraph]] = []
        for i, crystal in enumerate(crystals):
            graph = self._graph(crystal)
            if isinstance(graph, PotentialFailure):
                outcomes[i] = graph
            else:
                graphs.append((i, graph))
        for start in range(0, len(graphs), self._batch_size):
            chunk = graphs[start : start + self._batch_size]
            for (i, _), outcome in zip(chunk, self._predict([g for _, g in chunk]), strict=True):
                outcomes[i] = checked(_scaled(outcome, crystals[i]), crystals[i])
        return [o if o is not None else PotentialFailure("not computed") for o in outcomes]

    def _graph(self, crystal: Crystal) -> CrystalGraph | PotentialFailure:
        if crystal.atomic_numbers.max() > CHGNET_ELEMENTS:
            return PotentialFailure(f"CHGNet knows elements up to Z = {CHGNET_ELEMENTS}")
        if crystal.volume / crystal.n_atoms < MIN_ATOM_VOLUME:
            return PotentialFailure(f"denser than {MIN_ATOM_VOLUME} A^3 per atom, beyond anything CHGNet has seen")
        try:
            graph = self._model.graph_converter(crystal.to_pymatgen())
        except (ValueError, RuntimeError, AssertionError) as error:
            return PotentialFailure(f"CHGNet graph: {error}")
        if graph is None or len(graph.atom_graph) == 0:
            return PotentialFailure("no neighbours within CHGNet's 6 angstrom")
        return graph

    def _predict(self, graphs: list[CrystalGraph]) -> list[dict[str, np.ndarray] | PotentialFailure]:
        try:
            found = self._model.predict_graph(graphs, task="efs", batch_size=len(graphs))
        except (RuntimeError, IndexError, ValueError) as error:
            if len(graphs) > 1:  # find out whose fault it is
                return [self._predict([g])[0] for g in graphs]
            return [PotentialFailure(f"CHGNet: {error}")]
        return [found] if len(graphs) == 1 else list(found)


def _scaled(found: dict[str, np.ndarray] | PotentialFailure, crystal: Crystal) -> Outcome:
    """CHGNet's eV/atom and GPa in our eV and eV/angstrom^3."""
    if isinstance(found, PotentialFailure):
        return found
    stress = np.asarray(found["s"], dtype=np.float64) / GPA_PER_EV_A3
    return PotentialResult(
        energy=float(found["e"]) * crystal.n_atoms,
        forces=np.asarray(found["f"], dtype=np.float64),
        stress=0.5 * (stress + stress.T),
    )
