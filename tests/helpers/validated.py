"""A validated crystal with all that can be computed of it, without a program: for the page that shows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.dft.electronic.analysis import Electrons, coarse
from dao_core.dft.electronic.page import sections
from dao_core.dft.magnetism.moments import MomentReport
from dao_core.dft.magnetism.search import OrderingResult
from dao_core.dft.properties import Properties
from dao_core.dft.pw.result import PwResult
from dao_core.dft.session import StageSummary
from dao_core.dft.validate import ValidationResult

GAP = {"value": 5.0, "kind": "direct", "is_metal": False, "valence_top": 1.0, "conduction_bottom": 6.0, "n_kpoints": 9}


def validation(crystal: Crystal, material_id: str = "best", **changes: Any) -> ValidationResult:
    """A validation that ended well; two stages, one of them on an ordering."""
    stages = tuple(
        StageSummary(name, "done", "", "", 1, (), seconds, "")
        for name, seconds in (("scf, ferromagnetic 1x #1", 2.0), ("vc-relax", 10.0), ("element Na, scf", 3.0))
    )
    values: dict[str, Any] = {
        "functional": "PBE|QE|test-1|fast|01234567", "crystal": crystal, "energy_per_atom": -440.0,
        "formation_energy_per_atom": -1.9, "e_above_hull": 0.0, "volume_change": 0.01, "same_structure": True,
        "code_version": "6.7", "key": "0" * 20, "stages": stages, "material_id": material_id,
        "final": PwResult("0" * 20, "done", "", "", "", crystal, -880.0, version="6.7"),
    }  # fmt: skip
    return ValidationResult(crystal.formula_reduced, "validated", "", crystal, **(values | changes))


def magnetic() -> dict[str, Any]:
    """What a validation of a magnet has beside: two orderings, the moments of the lower one, U."""
    report = MomentReport((2.0, 0.0), (1.7, 0.1), 0.0, 3.6, ("kept", "kept"))
    orderings = (
        OrderingResult("ferromagnetic 1x #1", "ferromagnetic", 2, -439.98, report),
        OrderingResult("antiferromagnetic 2x #1", "antiferromagnetic", 4, -440.0, report),
    )
    return {"ordering": orderings[1].label, "orderings": orderings, "moments": report, "hubbard": {"Ni": 6.2}}


def properties(crystal: Crystal, n: int = 40) -> Properties:
    """Bands, states, an ELF with a maximum off the nuclei, and vibrations."""
    x = np.linspace(0.0, 2.0, n)
    bands = np.stack([np.cos(2 * x) * s + shift for s, shift in ((0.5, 0.5), (-1.0, 7.0))], axis=1)[None]  # (1, K, 2)
    path = {"path": "GXL", "labels": ["G", "X", "L"], "label_positions": [0.0, 1.0, 2.0], "distances": x.tolist()}
    energies = np.linspace(-12.0, 12.0, 900)
    density = np.exp(-((energies - 0.5) ** 2))[None]  # (1, E)
    grid = _bump(24, (0.25, 0.25, 0.25))
    maximum = {"frac_coords": [0.25, 0.25, 0.25], "value": 0.9, "kind": "interstitial", "nearest": "Na",
               "nearest_index": 0, "distance": 2.4}  # fmt: skip
    charges = [{"symbol": s, "electrons": 7.0, "charge": q, "polarisation": None}
               for s, q in zip(crystal.symbols, (0.8, -0.8), strict=False)]  # fmt: skip
    electrons = Electrons({
        "bands": {**path, "energies": bands, "fermi": 2.0, "gap": GAP},
        "states": {"gap": GAP, "warning": "", "fermi": 2.0, "kpoints": (9, 9, 9), "energies": energies,
                   "total": density, "projected": {"Na s": 0.3 * density, "Cl p": 0.7 * density}, "at_fermi": 0.0,
                   "charges": charges},
        "elf": {"maxima": [maximum], "grid": coarse(grid), "shape": grid.shape},
    })  # fmt: skip
    modes = {"frequencies": [0.0, 0.0, 0.0, 4.9, 4.9, 4.9], "longitudinal": {}, "dielectric": np.diag([2.3] * 3)}
    phonons = {"part": "phonons", "title": "Vibrations at Gamma (ph.x)", "sentence": "Modes.", "data": modes}
    curve = {"part": "dispersion", "title": "Phonon dispersion", "sentence": "No imaginary mode.",
             "data": {**path, "frequencies": bands[0].tolist()}}  # fmt: skip
    return Properties((*sections(electrons), phonons, curve), {"bands": 4.0, "elf": 1.5})


def _bump(n: int, center: tuple[float, float, float]) -> np.ndarray:
    """A periodic field with one maximum, (n, n, n)."""
    axes = [np.cos(2 * np.pi * (np.arange(n) / n - c)) for c in center]
    total = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]
    return np.exp(total - 3.0)
