"""The template index that needs no database: the AFLOW prototype library that pymatgen carries."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.elements import UnknownElementError
from dao_core.generate.templates.ranker import Ranker
from dao_core.generate.templates.store import load_index, save_index

if TYPE_CHECKING:
    from dao_core.generate.templates.index import TemplateIndex

SOURCE = "AFLOW prototype library as shipped with pymatgen (Mehl et al., Comput. Mater. Sci. 136, S1, 2017)"


DATA = Path(__file__).parent / "data"  # written by `python -m dao_core.generate.templates.aflow`


@lru_cache(maxsize=1)
def aflow_index() -> TemplateIndex:
    """Index over the primitive cells of the AFLOW prototypes, each id being the AFLOW label.

    Read from the package's data (reading pymatgen's library and its symmetry takes seconds). 288 prototypes teach
    little about elements: similarity, atomic volumes and order come from MP-20's training split
    (`element_statistics.npz` and `template_ranker.json`; benchmarks/train_template_ranker.py).
    """
    log_odds, volumes = learned_elements()
    return replace(load_index(DATA), log_odds=log_odds, atomic_volumes=volumes, ranker=Ranker.shipped())


def learned_elements() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What MP-20's training split taught: log-odds of substitution (101, 101), atomic volumes (101,) in angstrom^3."""
    with np.load(DATA / "element_statistics.npz", allow_pickle=False) as learned:
        return learned["log_odds"].astype(float), learned["atomic_volumes"].astype(float)


def aflow_prototypes() -> list[tuple[str, Crystal]]:
    """(AFLOW label, primitive cell) of each ordered prototype; repeated labels get a running number."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    out: list[tuple[str, Crystal]] = []
    seen: dict[str, int] = {}
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        label = entry["tags"]["aflow"]
        try:
            crystal = Crystal.from_pymatgen(entry["snl"].structure.get_primitive_structure())
        except (InvalidCrystalError, UnknownElementError, ValueError):
            continue  # a partially occupied prototype, or one with deuterium, is no template
        seen[label] = seen.get(label, 0) + 1
        out.append((label if seen[label] == 1 else f"{label}#{seen[label]}", crystal))
    return out


def main() -> None:
    """Build the index again, after a change of its format or of pymatgen's library."""
    from dao_core.generate.templates.index import TemplateIndex

    save_index(TemplateIndex.build(aflow_prototypes(), source=SOURCE), DATA)


if __name__ == "__main__":
    main()
