"""Numbers that formats write in several ways: lists as text, stress as six numbers, as nine, or as a virial."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.readers.base import UnreadableError
from dao_core.readers.plain_rows import real_array

SAME = 1e-3  # eV/angstrom^3, or relative; two ways to say one stress agree within it


def numbers_of(name: str, value: Any) -> NDArray[np.float64]:
    """The numbers of a list, or of text such as `1 2 3`, `[[1, 2], [3, 4]]` or `{1 2 3}`.

    Args:
        name: Of the property, for the message.
        value: The list or the text.

    Returns:
        All numbers in a row, (n,).

    Raises:
        UnreadableError: Something else than numbers stands in it.
    """
    if not isinstance(value, str):
        flat = value.ravel() if isinstance(value, np.ndarray) else list(_flat(value))
        return real_array(name, flat, (len(flat),))
    try:
        return np.array([float(w) for w in re.sub(r"[\[\]{},]", " ", value).split()], dtype=np.float64)
    except ValueError:
        raise UnreadableError(f"{name}={value!r} is no list of numbers: correct it") from None


def _flat(value: Any) -> Any:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def full_tensor(name: str, value: Any) -> NDArray[np.float64]:
    """A symmetric tensor from nine numbers, or from six in Voigt's order xx, yy, zz, yz, xz, xy.

    Args:
        name: Of the property, for the message.
        value: The numbers, or text.

    Returns:
        (3, 3).

    Raises:
        UnreadableError: Another number of values, or a tensor that is not symmetric.
    """
    flat = numbers_of(name, value)
    if len(flat) == 6:
        xx, yy, zz, yz, xz, xy = flat
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    if len(flat) != 9:
        raise UnreadableError(f"{name} has {len(flat)} numbers, expected 6 (Voigt) or 9")
    tensor = flat.reshape(3, 3)
    if not np.abs(tensor - tensor.T).max() <= SAME * max(1.0, float(np.abs(tensor).max())):
        raise UnreadableError(f"{name} is not symmetric, or not finite: correct it")
    return tensor


def stress_of(
    row: Mapping[str, Any], volume: float, *, stress: str | None = "stress", virial: str | None = "virial"
) -> NDArray[np.float64] | None:
    """The stress of a row (3, 3) in eV/angstrom^3, tension positive, from whichever of its two columns is there.

    Args:
        row: Values by column.
        volume: Of the cell, in angstrom^3: stress = -virial / volume.
        stress: Column with six or nine numbers.
        virial: Column with a virial in eV.

    Raises:
        UnreadableError: A column is no tensor, or the two contradict each other.
    """
    stresses = [
        factor * full_tensor(name, row[name])
        for name, factor in ((stress, 1.0), (virial, -1.0 / volume))
        if name is not None and row.get(name) is not None
    ]
    if len(stresses) == 2 and np.abs(stresses[0] - stresses[1]).max() > SAME * max(
        1.0, float(np.abs(stresses[0]).max())
    ):
        raise UnreadableError(f"{stress} and {virial} contradict each other (stress = -virial / volume): remove one")
    return stresses[0] if stresses else None
