"""SevenNet as a potential: the judge that relaxes and ranks what DAO-P proposed, and the teacher that labels for it.

The wheel `sevenn` carries the weights (MIT). `7net-l3i5` was trained on MPtrj, so its energies are total energies on
the Materials Project's uncorrected PBE(+U) scale.
Source: Park et al., J. Chem. Theory Comput. 20, 4857 (2024).
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from copy import copy
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch

from dao_core.crystal import Crystal
from dao_core.elements import SYMBOLS
from dao_core.energy.potential import Outcome, PotentialFailure, PotentialMissingError, PotentialResult, checked
from dao_core.models.checkpoint_io import weights_hash
from dao_core.models.default_dtype import default_dtype

MIN_ATOM_VOLUME = 2.5  # angstrom^3; half of the densest solids'. Below it the graph of neighbours eats gigabytes


class SevenNetPotential:
    """SevenNet through the common interface, one crystal at a time.

    On a CPU a batch gains a quarter for cells of two atoms and nothing for larger ones (measured), and one at a time
    makes a result independent of its neighbours bit by bit.
    """

    def __init__(self, model: str = "7net-l3i5", *, functional: str | None = None, device: str = "cpu") -> None:
        """Load the weights (a few seconds).

        Args:
            model: One of those that the wheel carries (`7net-l3i5`, `7net-0`, `7net-mf-0`), or the path of a
                checkpoint.
            functional: Whose energies it gives, of a model that learned several (`7net-mf-0`: `PBE`, `R2SCAN`).
            device: Where the network runs, `cpu` or `cuda`.

        Raises:
            PotentialMissingError: The package is not installed.
            ValueError: The model has no such functional, or has several and none was named.
        """
        quiet = contextlib.redirect_stdout(io.StringIO())
        with warnings.catch_warnings(), quiet, default_dtype(torch.float32):
            warnings.simplefilter("ignore")  # of torch.jit and of accelerators that are not there
            try:
                import sevenn._keys as key
                from sevenn.util import load_checkpoint
            except ImportError as error:
                raise PotentialMissingError("SevenNet is not installed: pip install 'dao-csp[judge]'") from error
            checkpoint = load_checkpoint(model)
            self._network = checkpoint.build_model().to(device).eval()
        self._network.set_is_batch_data(False)
        offered = sorted(self._network.modal_map or {})
        if functional not in (offered or [None]):
            raise ValueError(f"functional {functional!r} of {model}: {' or '.join(offered) or 'it has one, name none'}")
        self._key, self._functional = key, functional
        self._name, self._device = model, device
        self._cutoff = float(checkpoint.config[key.CUTOFF])
        self.elements = frozenset(int(z) for z in checkpoint.config[key.TYPE_MAP])

    @cached_property
    def identity(self) -> str:
        """`SevenNet-<model>`, the functional where there are several, and a hash of the weights."""
        name = "-".join(filter(None, (self._name.removeprefix("7net-"), self._functional)))
        return f"SevenNet-{name}+{weights_hash(self._network)[:12]}"

    @property
    def lacks_dispersion(self) -> bool:
        """Whether it computes in plain PBE, without van der Waals attraction."""
        return self._functional in (None, "PBE")

    def in_functional(self, functional: str) -> SevenNetPotential:
        """The same network with the energies of another functional that it learned."""
        other = copy(self)
        other.__dict__.pop("identity", None)
        other._functional = functional
        return other

    def r2scan_shifts(self, crystals: Sequence[Crystal]) -> list[float | None]:
        """What r2SCAN adds to the energy of PBE, in which this model computes, at each structure as it stands.

        SevenNet-MF-0 learned both functionals: much of what it errs by cancels in the difference.
        Source: Kim et al., J. Am. Chem. Soc. 147, 1042 (2025).

        Args:
            crystals: Structures of any size and composition.

        Returns:
            eV/atom, None where there is no answer. Only differences within one composition mean something: the
            pseudopotentials behind the two functionals differ.
        """
        in_pbe, in_r2scan = (_both_functionals(name).compute(crystals) for name in ("PBE", "R2SCAN"))
        return [
            (r.energy - p.energy) / c.n_atoms
            if isinstance(p, PotentialResult) and isinstance(r, PotentialResult)
            else None
            for p, r, c in zip(in_pbe, in_r2scan, crystals, strict=True)
        ]

    def compute(self, crystals: Sequence[Crystal]) -> list[Outcome]:
        """Energy, forces and stress of each crystal.

        Args:
            crystals: Structures of any size and composition.

        Returns:
            One outcome for each, in order: total energy (eV), forces (N, 3) in eV/angstrom, stress (3, 3) in
            eV/angstrom^3; a crystal with an unknown element, without neighbours or too dense is a PotentialFailure.
        """
        with default_dtype(torch.float32):
            return [self._one(crystal) for crystal in crystals]

    def _one(self, crystal: Crystal) -> Outcome:
        unknown = sorted({SYMBOLS[int(z)] for z in crystal.atomic_numbers if int(z) not in self.elements})
        if unknown:
            return PotentialFailure(f"{self._name} was not trained on {', '.join(unknown)}")
        if crystal.volume / crystal.n_atoms < MIN_ATOM_VOLUME:
            return PotentialFailure(f"denser than {MIN_ATOM_VOLUME} A^3 per atom, beyond anything SevenNet has seen")
        try:
            return checked(self._result(self._graph(crystal)), crystal)
        except (RuntimeError, IndexError, ValueError) as error:
            return PotentialFailure(f"SevenNet: {error}")

    def _graph(self, crystal: Crystal) -> Any:
        from sevenn.atom_graph_data import AtomGraphData
        from sevenn.train.dataload import unlabeled_atoms_to_graph

        graph = unlabeled_atoms_to_graph(crystal.to_ase(), self._cutoff, with_shift=False)
        if graph[self._key.EDGE_IDX].shape[1] == 0:
            raise ValueError(f"no neighbours within {self._cutoff} angstrom")
        data = AtomGraphData.from_numpy_dict(graph)
        if self._functional is not None:
            data[self._key.DATA_MODALITY] = self._functional
        data.to(self._device)
        return data

    def _result(self, data: Any) -> PotentialResult:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = self._network(data)
        xx, yy, zz, xy, yz, zx = (-_array(output[self._key.PRED_STRESS])).ravel()  # its sign is that of a pressure
        return PotentialResult(
            energy=float(output[self._key.PRED_TOTAL_ENERGY].detach()),
            forces=_array(output[self._key.PRED_FORCE]),
            stress=np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]),
        )


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)


@lru_cache(maxsize=2)
def _both_functionals(functional: str) -> SevenNetPotential:
    """The model that learned PBE and r2SCAN, loaded once a process."""
    if functional != "PBE":
        return _both_functionals("PBE").in_functional(functional)
    return SevenNetPotential("7net-mf-0", functional=functional)
