"""The different compositions of a table, so that what depends on composition alone is worked out once for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.hull.hull import count_atoms

if TYPE_CHECKING:
    import pyarrow as pa


class Compositions:
    """The compositions of a table's rows.

    Attributes:
        counts: Of each composition, atomic number -> atoms in one of its rows.
        code: (rows,) the composition of each row.
    """

    def __init__(self, table: pa.Table) -> None:
        import pyarrow as pa

        formulas = table["formula_reduced"].combine_chunks().dictionary_encode()
        self.code = np.asarray(formulas.indices)
        first = np.full(len(formulas.dictionary), -1)
        first[self.code[::-1]] = np.arange(len(self.code))[::-1]  # a row of each
        atoms = table["atomic_numbers"].take(pa.array(first)).to_pylist()
        self.counts = [count_atoms(a) for a in atoms]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.counts)

    def rows_of(self, composition: int) -> NDArray[np.intp]:
        """The rows of a composition."""
        return np.flatnonzero(self.code == composition)

    def lowest(self, energy: NDArray[np.float64], *, among: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """The row of each composition's lowest energy.

        Args:
            energy: (rows,) NaN where unknown.
            among: (rows,) False for rows that don't count.

        Returns:
            (compositions,) row numbers, -1 where no row counts.
        """
        counts = np.isfinite(energy) if among is None else np.isfinite(energy) & among
        known = np.flatnonzero(counts)
        order = known[np.lexsort((known, energy[known]))[::-1]]
        out = np.full(len(self.counts), -1)
        out[self.code[order]] = order  # the last one written is the lowest
        return out
