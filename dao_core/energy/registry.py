"""Every potential by its name: those that are built in, those that installed packages offer, and checkpoints.

A package offers a model through the entry point group `dao_csp.potentials`: the name is what users type, the object a
function without arguments that returns a `Potential`, an ASE calculator or a torch-sim model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from dao_core.artifacts import file_sha256
from dao_core.energy.potential import Potential, PotentialMissingError, label_of

ENTRY_POINT_GROUP = "dao_csp.potentials"
DEFAULT_JUDGE = "sevennet"
NO_JUDGE = "none"
NO_DISPERSION = "no dispersion"  # what the note on a judge begins with that goes without the one it was asked for


class PotentialNameError(ValueError):
    """No potential of that name; the message lists those there are."""


class DispersionError(ValueError):
    """Dispersion was asked for on energies to which it cannot be added; the message names them."""


@dataclass(frozen=True)
class LoadedJudge:
    """The potential that relaxes and ranks the survivors of a search, or None with the reason."""

    potential: Potential | None
    note: str | None = None


def load_potential(name: str | Path = "dao", *, dispersion: bool = False) -> Potential:
    """A potential by name, loaded once a process; a folder again once it holds another checkpoint.

    Args:
        name: `dao` (the DAO-P that ships, whatever lies in the working directory), `sevennet`, `chgnet`, the name of
            an entry point, or the folder of a DAO-P checkpoint.
        dispersion: Add PBE-D3(BJ) to its energies, forces and stress.

    Returns:
        The potential.

    Raises:
        PotentialNameError: There is no such potential.
        PotentialMissingError: Its package is not installed, or does not load.
        DispersionError: Its energies are formation energies: the elements' dispersion is not in them.
        CheckpointError: The folder holds no readable DAO-P checkpoint.
    """
    potential = _load(str(name), _checkpoint_there(str(name)))
    if not dispersion:
        return potential
    if label_of(potential).kind == "formation":
        raise DispersionError(
            f"dispersion adds to total energies, and {potential.identity} gives formation energies: "
            "leave it out or name another potential, such as sevennet"
        )
    from dao_core.energy.adapters.dispersion import DispersionPotential

    return DispersionPotential(potential)


def check_potential_name(name: str | Path) -> None:
    """Refuse what `load_potential` has no model for, without loading one.

    Args:
        name: As for `load_potential`.

    Raises:
        PotentialNameError: There is no such potential.
        CheckpointError: The folder holds no DAO-P checkpoint.
    """
    if str(name) in _BUILT_IN or str(name) in _offered():
        return
    if not Path(name).is_dir():
        raise _no_potential(str(name))
    from dao_core.models.checkpoint_io import read_config

    read_config(Path(name).absolute(), kind="predictor")


def load_judge(name: str | Path = DEFAULT_JUDGE, *, dispersion: bool | None = None) -> LoadedJudge:
    """The judge of a search; one that is not installed is named and the search goes on without.

    Args:
        name: As for `load_potential`, or `none`.
        dispersion: Add PBE-D3(BJ), where `dftd3` is installed; None: if the judge says that it lacks dispersion.

    Returns:
        The potential, or None; `note` says what is missing.

    Raises:
        PotentialNameError: There is no such potential.
        DispersionError: Its energies are formation energies: the elements' dispersion is not in them.
    """
    if str(name) == NO_JUDGE:
        return LoadedJudge(None)
    try:
        potential = load_potential(name)
    except PotentialMissingError as error:
        return LoadedJudge(None, f"no judge: {error}")
    if not (getattr(potential, "lacks_dispersion", False) if dispersion is None else dispersion):
        return LoadedJudge(potential)
    try:
        return LoadedJudge(load_potential(name, dispersion=True))
    except PotentialMissingError as error:
        return LoadedJudge(potential, f"{NO_DISPERSION}: {error}")


def as_potential(model: Any, identity: str) -> Potential:
    """A model of any of the known interfaces as a potential.

    Args:
        model: A `Potential`, an ASE calculator or a torch-sim model that computes stress.
        identity: Name and version, for models that have no identity of their own.

    Returns:
        The potential.

    Raises:
        PotentialMissingError: The object has none of these interfaces.
    """
    if hasattr(model, "compute") and hasattr(model, "identity"):
        return model  # type: ignore[no-any-return]
    if hasattr(model, "get_potential_energy"):
        from dao_core.energy.adapters.ase import AsePotential

        return AsePotential(lambda: model, identity)
    if callable(model) and hasattr(model, "device") and hasattr(model, "dtype"):
        from dao_core.energy.adapters.torchsim import TorchSimPotential

        return TorchSimPotential(model, identity)
    raise PotentialMissingError(
        f"{identity} is a {type(model).__name__}: neither a Potential nor an ASE calculator nor a torch-sim model"
    )


def _checkpoint_there(name: str) -> str | None:
    """What tells apart the checkpoints that a folder's name can stand for, from here and now; None for other names."""
    config = Path(name).absolute() / "config.json"
    return f"{config} {file_sha256(config)}" if name not in _BUILT_IN and config.is_file() else None


@lru_cache(maxsize=8)
def _load(name: str, _checkpoint: str | None) -> Potential:
    if name in _BUILT_IN:
        try:
            return _BUILT_IN[name]()
        except ImportError as error:
            raise PotentialMissingError(str(error)) from error
    offered = _offered()
    if name in offered:
        return _load_offered(offered[name])
    if Path(name).is_dir():
        return _load_dao(Path(name).absolute())  # the folder, even where a checkpoint that ships has its name
    raise _no_potential(name)


def _no_potential(name: str) -> PotentialNameError:
    names = ", ".join([*_BUILT_IN, *sorted(_offered())])
    return PotentialNameError(f"no potential {name!r}: use {names}, or the folder of a DAO-P checkpoint")


def _load_offered(point: EntryPoint) -> Potential:
    from dao_core.models.default_dtype import default_dtype

    with default_dtype():  # the adapter notes in which the model was made, before it is what it was
        try:
            model = point.load()()
        except (ImportError, AttributeError, RuntimeError, ValueError, OSError, TypeError) as error:
            # whatever keeps a foreign package from handing over its model: weights not there, wrong version, no network
            raise PotentialMissingError(f"{point.name} of {_distribution(point)} does not load ({error})") from error
        return as_potential(model, f"{point.name}-{point.dist.version if point.dist else '0'}")


def _offered() -> dict[str, EntryPoint]:
    return {p.name: p for p in entry_points(group=ENTRY_POINT_GROUP) if p.name not in _BUILT_IN}


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _load_dao(directory: Path | None = None) -> Potential:
    """A DAO-P from its folder; the one that ships if None."""
    from dao_core.energy.predictor import DaoPotential
    from dao_core.models.checkpoint_io import SHIPPED

    return DaoPotential.load(directory or SHIPPED / "predictor")


def _load_sevennet() -> Potential:
    from dao_core.energy.adapters.sevennet import SevenNetPotential

    return SevenNetPotential()


def _load_chgnet() -> Potential:
    from dao_core.energy.adapters.chgnet import ChgnetPotential

    return ChgnetPotential()


_BUILT_IN: dict[str, Callable[[], Potential]] = {"dao": _load_dao, "sevennet": _load_sevennet, "chgnet": _load_chgnet}
