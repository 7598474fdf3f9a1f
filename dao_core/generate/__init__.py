"""DAO-G and what it needs. The package is callable: `dao.generate("SrTiO3")` is `dao_core.api.generate`."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A package that answers as the function of the same name: in `import dao_core as dao` both are `dao.generate`."""

    def __call__(self, formula: str, **options: Any) -> Any:
        return import_module(f"{__name__.partition('.')[0]}.api").generate(formula, **options)


sys.modules[__name__].__class__ = _Callable
