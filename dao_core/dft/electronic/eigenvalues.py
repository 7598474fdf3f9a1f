"""Eigenvalues from pw.x's XML file, and the gap that follows from them."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dao_core.units import EV_PER_RY

EV_PER_HARTREE = 2 * EV_PER_RY
XML = "data-file-schema.xml"
WHOLE = 0.05  # electrons: how far from a whole number each spin's may be in an insulator
SAME_POINT = 1e-4  # of reciprocal coordinates
GapKind = Literal["direct", "indirect", "none"]


class EigenvalueError(ValueError):
    """An XML file of pw.x without readable eigenvalues; the message names it."""


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """Bands of one calculation.

    Attributes:
        kpoints: (K, 3) in units of 2 pi / alat, Cartesian.
        energies: (S, K, B) eV; S is 2 with spin.
        fermi: Fermi energy or highest occupied level, eV.
        n_electrons: Of each spin (both together without spin), (S,).
        smeared: Whether occupations were smeared.
    """

    kpoints: NDArray[np.float64]
    energies: NDArray[np.float64]
    fermi: float
    n_electrons: tuple[float, ...]
    smeared: bool


@dataclass(frozen=True)
class Gap:
    """The gap of a crystal (eV), 0 for a metal, where the bands that border it lie, and on how many k-points."""

    value: float
    kind: GapKind
    is_metal: bool
    valence_top: float | None
    conduction_bottom: float | None
    n_kpoints: int
    direct_value: float | None = None


def read_eigenvalues(save: Path) -> Eigenvalues:
    """Eigenvalues of the last calculation in a `.save` folder. Raises EigenvalueError."""
    path = save / XML
    try:
        root = ET.parse(path).getroot()
        bands = root.find("output/band_structure")
        if bands is None:
            raise EigenvalueError(f"{path} holds no band structure; run the calculation again")
        points = bands.findall("ks_energies")
        spin = (bands.findtext("lsda") or "false").strip() == "true"
        values = np.array([_floats(p, "eigenvalues") for p in points]) * EV_PER_HARTREE  # (K, S B)
        occupations = np.array([_floats(p, "occupations") for p in points])
        kpoints = np.array([[float(x) for x in (p.findtext("k_point") or "").split()] for p in points])
        weights = np.array([float(p.find("k_point").attrib["weight"]) for p in points])  # type: ignore[union-attr]
        level = bands.findtext("fermi_energy") or bands.findtext("highestOccupiedLevel") or "nan"
        total = float(bands.findtext("nelec") or "nan")
        smeared = (bands.findtext("occupations_kind") or "").strip() == "smearing"
    except (OSError, ET.ParseError, ValueError, AttributeError, KeyError) as error:
        raise EigenvalueError(f"{path} is unreadable ({error}); run the calculation again") from error
    if not values.size:
        raise EigenvalueError(f"{path} holds no eigenvalues; run the calculation again")
    n_spins = 2 if spin else 1
    energies = values.reshape(len(points), n_spins, -1).transpose(1, 0, 2)  # (S, K, B)
    electrons: tuple[float, ...] = (total,)
    if spin:
        share = occupations.reshape(len(points), 2, -1).sum(axis=2)  # (K, S)
        up, down = (share * weights[:, None]).sum(axis=0) / weights.sum()
        scale = total / (up + down) if up + down > 0 else 1.0
        electrons = (float(up * scale), float(down * scale))
    return Eigenvalues(kpoints, energies, float(level) * EV_PER_HARTREE, electrons, smeared)


def _floats(point: ET.Element, name: str) -> list[float]:
    return [float(x) for x in (point.findtext(name) or "").split()]


def occupied_bands(eigenvalues: Eigenvalues) -> tuple[int, ...] | None:
    """Filled bands of each spin in an insulator; None where no whole number of electrons fills them: a metal.

    Counting is safer than the Fermi energy, which smearing may put inside a band's edge.
    """
    spins = len(eigenvalues.energies)
    counts = [n / 2 for n in eigenvalues.n_electrons] if spins == 1 else list(eigenvalues.n_electrons)
    if any(not math.isfinite(n) or abs(n - round(n)) > WHOLE for n in counts):
        return None
    return tuple(round(n) for n in counts)


def band_gap(*calculations: Eigenvalues, filled: tuple[int, ...] | None = None) -> Gap:
    """The gap over the k-points of all calculations (a mesh and a path see different extrema).

    Args:
        calculations: Of one crystal, the one whose electrons are counted first. One with fixed occupations may hold no
            empty band; it adds to the valence bands only.
        filled: Occupied bands of each spin, by default counted.

    Raises:
        EigenvalueError: No calculation holds an empty band.
    """
    filled = occupied_bands(calculations[0]) if filled is None else filled
    n_kpoints = sum(len(c.kpoints) for c in calculations)
    if filled is None:
        return Gap(0.0, "none", is_metal=True, valence_top=None, conduction_bottom=None, n_kpoints=n_kpoints)
    tops, bottoms = [], []
    direct = math.inf
    for c in calculations:
        valence = np.max([c.energies[s, :, n - 1] for s, n in enumerate(filled) if n > 0], axis=0)  # (K,)
        tops.append(float(valence.max()))
        if any(n >= c.energies.shape[2] for n in filled):
            continue
        conduction = np.min([c.energies[s, :, n] for s, n in enumerate(filled)], axis=0)
        bottoms.append(float(conduction.min()))
        direct = min(direct, float((conduction - valence).min()))
    if not bottoms:
        raise EigenvalueError("no empty band was computed, so the gap is unknown; compute bands or states")
    top, bottom = max(tops), min(bottoms)
    if bottom <= top:
        return Gap(0.0, "none", is_metal=True, valence_top=top, conduction_bottom=bottom, n_kpoints=n_kpoints)
    kind: GapKind = "direct" if direct - (bottom - top) < 2e-3 else "indirect"
    return Gap(bottom - top, kind, False, top, bottom, n_kpoints, direct)
