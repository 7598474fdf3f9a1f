"""Torch's default dtype is one for the whole process: foreign models set it for themselves and leave it so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def default_dtype(dtype: torch.dtype | None = None) -> Iterator[None]:
    """Torch's default dtype in a block; afterwards it is what it was before, whatever the block did.

    Args:
        dtype: The default inside; None leaves it as it is.

    Yields:
        Nothing.
    """
    before = torch.get_default_dtype()
    try:
        if dtype is not None:
            torch.set_default_dtype(dtype)
        yield
    finally:
        torch.set_default_dtype(before)
