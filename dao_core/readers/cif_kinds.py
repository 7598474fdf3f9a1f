"""Structures that a CIF block may hold beside the crystals that are read here, told by the names of its items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao_core.readers.base import UnreadableError

if TYPE_CHECKING:
    from gemmi.cif import Block

MODULATED = (
    "_cell_modulation", "_cell_wave_vector", "_cell_subsystem", "_space_group_ssg", "_space_group_symop_ssg",
    "_symmetry_ssg", "_atom_site_fourier", "_atom_site_phason", "_atom_site_displace_", "_atom_site_occ_",
    "_atom_site_rot_", "_atom_site_u_fourier", "_atom_site_moment_fourier", "_atom_site_moment_special_func",
)  # fmt: skip
MAGNETIC = ("_space_group_magn", "_space_group_symop_magn", "_magnetic_")
MOMENT = ("_atom_site_moment", "_atom_site_magnetic_moment", "_atom_site_magn_moment")
LAYER_WORDS = ("layer_group", "rod_group", "subperiodic")
NULL = ("?", ".", "")


def refuse_other_kinds(block: Block) -> None:
    """Raise UnreadableError for modulated and magnetic structures, and for those with fewer than three periods."""
    for tag, values in _items(block):
        name = tag.lower().replace(".", "_")
        said = [v for v in values if v not in NULL]
        if any(word in name for word in LAYER_WORDS):
            raise UnreadableError("a structure with fewer than three periods: only crystals are read")
        if name.startswith(MODULATED) and any(not _is_zero(v) for v in said):
            raise UnreadableError(
                f"a modulated structure ({tag}): give an approximant, a crystal with three periods, without such items"
            )
        if name.startswith(MAGNETIC) and said:
            raise UnreadableError(
                f"a magnetic structure with operations of its own ({tag}): give the crystal's symmetry operations alone"
            )
        if name.startswith(MOMENT) and any(_is_number(v) and not _is_zero(v) for v in said):
            raise UnreadableError(
                f"a magnetic structure ({tag}), moments are not read: give the crystal without the moments"
            )


def _items(block: Block) -> list[tuple[str, list[str]]]:
    """Every item of a block with its values as they stand."""
    found: list[tuple[str, list[str]]] = []
    for item in block:
        if item.pair is not None:
            pair: list[str] = [str(word) for word in item.pair]  # type: ignore[attr-defined]
            found.append((pair[0], pair[1:]))
        elif item.loop is not None:
            tags, values = list(item.loop.tags), list(item.loop.values)
            found += [(str(tag), [str(v) for v in values[i :: len(tags)]]) for i, tag in enumerate(tags)]
    return found


def _is_number(text: str) -> bool:
    try:
        float(text.partition("(")[0])
    except ValueError:
        return False
    return True


def _is_zero(text: str) -> bool:
    return _is_number(text) and float(text.partition("(")[0]) == 0
