"""DAO in Python: `import dao_core as dao`, then `dao.predict("SrTiO3").to_dataframe()`.

What stands here is loaded when it is first used: importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dao_core.api import CrysDB as CrysDB
    from dao_core.api import Prediction as Prediction
    from dao_core.api import calculator as calculator
    from dao_core.api import generate as generate
    from dao_core.api import predict as predict
    from dao_core.api import relax as relax
    from dao_core.api import templates as templates
    from dao_core.crystal import Crystal as Crystal
    from dao_core.readers.base import Refusal as Refusal
    from dao_core.readers.read import read_structures as read_structures

_MODULES = {
    "Crystal": "dao_core.crystal", "Refusal": "dao_core.readers.base", "read_structures": "dao_core.readers.read",
}  # fmt: skip # the others stand in dao_core.api
__all__ = [
    "CrysDB",
    "Crystal",
    "Prediction",
    "Refusal",
    "calculator",
    "generate",
    "predict",
    "read_structures",
    "relax",
    "templates",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'dao_core' has no attribute {name!r}; it offers {', '.join(__all__)}")
    from importlib import import_module

    if name == "generate":  # the package of that name, which is callable
        return import_module("dao_core.generate")
    return getattr(import_module(_MODULES.get(name, "dao_core.api")), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*globals(), *__all__])
