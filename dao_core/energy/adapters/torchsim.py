"""Any model of torch-sim as one of our potentials: MACE, SevenNet, ORB, MatterSim and others of its interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dao_core.crystal import Crystal
from dao_core.energy.potential import Outcome, PotentialFailure, PotentialResult, checked
from dao_core.models.default_dtype import default_dtype

# what models raise for elements they do not know, cells they cannot handle and operations that fail inside torch
_MODEL_ERRORS = (ArithmeticError, ValueError, KeyError, IndexError, RuntimeError, NotImplementedError)


class TorchSimModel(Protocol):
    """What is used of torch-sim's `ModelInterface`; torch-sim itself need not be installed."""

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Its precision."""
        ...

    def __call__(self, state: dict[str, Any]) -> dict[str, Tensor]:
        """Energy, forces and stress of torch-sim's state."""
        ...


class TorchSimPotential:
    """A torch-sim model behind the `Potential` protocol: one call for each batch of at most `max_atoms` atoms.

    The model must compute stress (`compute_stress=True`). A batch in which one crystal makes the model raise is
    computed again crystal by crystal, so that only that one fails.
    """

    def __init__(self, model: TorchSimModel, identity: str, *, max_atoms: int = 512) -> None:
        """Take a loaded model.

        Args:
            model: A torch-sim model made with `compute_stress=True`; it runs on its own device.
            identity: Name and version of the model with its weights.
            max_atoms: Atoms in a batch.
        """
        self._model, self._identity, self._max_atoms = model, identity, max_atoms
        self._dtype = torch.get_default_dtype()  # in which the model was made, where it set that

    @property
    def identity(self) -> str:
        """Name and version, as given."""
        return self._identity

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        """Energies, forces and stresses of crystals.

        Args:
            crystals: Structures of any size; they are batched up to `max_atoms`.

        Returns:
            One outcome for each crystal, in order.
        """
        out: list[Outcome] = []
        for part in self._batches(crystals):
            try:
                out += self._batch(part)
            except _MODEL_ERRORS:
                out += [self._alone(c) for c in part]
        return [checked(o, c) for o, c in zip(out, crystals, strict=True)]

    def _batches(self, crystals: Sequence[Crystal]) -> list[list[Crystal]]:
        batches: list[list[Crystal]] = []
        for crystal in crystals:
            if batches and sum(c.n_atoms for c in batches[-1]) + crystal.n_atoms <= self._max_atoms:
                batches[-1].append(crystal)
            else:
                batches.append([crystal])
        return batches

    def _alone(self, crystal: Crystal) -> Outcome:
        try:
            return self._batch([crystal])[0]
        except _MODEL_ERRORS as error:
            return PotentialFailure(f"{type(error).__name__}: {error}")

    def _batch(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        with default_dtype(self._dtype):
            found = self._model(self._state(crystals))
        if "stress" not in found or "forces" not in found:
            return [PotentialFailure("the model gives no forces or stress: make it with compute_stress=True")] * len(
                crystals
            )
        energy, forces, stress = (_array(found[k]) for k in ("energy", "forces", "stress"))
        ends = np.cumsum([c.n_atoms for c in crystals])
        parts = np.split(forces, ends[:-1])
        return [PotentialResult(float(e), f, s) for e, f, s in zip(energy, parts, stress, strict=True)]

    def _state(self, crystals: Sequence[Crystal]) -> dict[str, Any]:
        """torch-sim's state: all atoms in one row, cells with their vectors as columns."""
        numbers = np.concatenate([c.atomic_numbers for c in crystals])
        owner = np.repeat(np.arange(len(crystals)), [c.n_atoms for c in crystals])
        positions = np.concatenate([c.cart_coords for c in crystals])
        cells = np.stack([c.lattice.T for c in crystals])
        device, dtype = self._model.device, self._model.dtype
        return {
            "positions": torch.as_tensor(positions, dtype=dtype, device=device),
            "cell": torch.as_tensor(cells, dtype=dtype, device=device),
            "atomic_numbers": torch.as_tensor(numbers, device=device),
            "system_idx": torch.as_tensor(owner, device=device),
            "pbc": True,
        }


def _array(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.detach().cpu().numpy(), dtype=np.float64)
