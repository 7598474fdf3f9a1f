"""The models of a search: what proposes, what pre-relaxes, what judges, and the structures that are known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dao_core.energy.registry import NO_JUDGE, LoadedJudge, check_potential_name, load_judge, load_potential
from dao_core.screening.settings import ModelNames

if TYPE_CHECKING:
    from dao_core.energy.potential import Potential
    from dao_core.generate.sampler import Generator
    from dao_core.generate.templates.index import TemplateIndex
    from dao_core.library.folder import Library
    from dao_core.screening.known import KnownStructures

Model = TypeVar("Model")
SHIPPED_GENERATOR, NO_GENERATOR = "dao", "none"
UNNAMED = "other"  # a potential that was handed over as an object


@dataclass(frozen=True)
class LoadedLibrary:
    """Known structures, or None with the reason why there are none."""

    structures: KnownStructures | None
    note: str | None = None


class OnDemand(Generic[Model]):
    """A model that is loaded when it is first asked for: the first answer needs neither generator nor judge."""

    def __init__(self, name: str, load: Callable[[], Model]) -> None:
        """Take the name by which the model was chosen, and what loads it."""
        self.name = name
        self._load = load
        self.loading: tuple[float, float] | None = None  # `time.time()` when it began, and its seconds

    @cached_property
    def model(self) -> Model:
        """The model itself."""
        begin = time.time()
        model = self._load()
        self.loading = (begin, time.time() - begin)
        return model


class SearchModels:
    """What a search works with, each model as an object or `OnDemand`.

    Without a generator only known structures and templates are tried, without templates the other way round; without a
    judge the potential that relaxes the proposals also ranks them.
    """

    def __init__(
        self,
        potential: Potential | OnDemand[Potential],
        generator: Generator | OnDemand[Generator | None] | None = None,
        templates: TemplateIndex | OnDemand[TemplateIndex | None] | None = None,
        judge: Potential | OnDemand[LoadedJudge] | None = None,
        library: KnownStructures | OnDemand[LoadedLibrary] | None = None,
    ) -> None:
        """Take the models.

        Args:
            potential: Relaxes the proposals.
            generator: Draws structures.
            templates: Gives known structures with the formula's elements in them.
            judge: Relaxes and ranks what survives.
            library: Known structures of the formula itself.
        """
        self._potential, self._generator, self._templates = potential, generator, templates
        self._judge, self._library = judge, library

    def replaced(self, **models: Any) -> SearchModels:
        """The same with some models exchanged; the others stay as they are, loaded or not."""
        names = ("potential", "generator", "templates", "judge", "library")
        return SearchModels(*(models.get(name, getattr(self, f"_{name}")) for name in names))

    @property
    def potential(self) -> Potential:
        """The energy model that relaxes the proposals."""
        return self._potential.model if isinstance(self._potential, OnDemand) else self._potential

    @property
    def generator(self) -> Generator | None:
        """The generative model."""
        return self._generator.model if isinstance(self._generator, OnDemand) else self._generator

    @property
    def templates(self) -> TemplateIndex | None:
        """The index of templates."""
        return self._templates.model if isinstance(self._templates, OnDemand) else self._templates

    @property
    def library(self) -> KnownStructures | None:
        """The known structures."""
        return self._library.model.structures if isinstance(self._library, OnDemand) else self._library

    @property
    def judge(self) -> Potential | None:
        """The second energy model, None where there is none or it is not installed."""
        return self._judge.model.potential if isinstance(self._judge, OnDemand) else self._judge

    @property
    def notes(self) -> list[str]:
        """Why the judge or the library that was asked for is missing."""
        judge = self._judge.model.note if isinstance(self._judge, OnDemand) else None
        return [note for note in (judge, self.library_note) if note is not None]

    @property
    def library_note(self) -> str | None:
        """Why the library that was asked for is missing; no other model is loaded for it."""
        return self._library.model.note if isinstance(self._library, OnDemand) else None

    def seconds_loading(self, since: float) -> float:
        """Seconds that this process has spent with loading models from a time on (`time.time()`)."""
        models = (self._potential, self._generator, self._templates, self._judge, self._library)
        loads = [model.loading for model in models if isinstance(model, OnDemand) and model.loading is not None]
        return sum(seconds for begin, seconds in loads if begin >= since)

    @property
    def decides(self) -> Potential:
        """Whose energies rank the candidates: the judge's, else the potential's."""
        return self.judge or self.potential

    @property
    def first_names(self) -> dict[str, str]:
        """Identity of the potential -> the name under which its error was measured."""
        return {self.potential.identity: self._potential.name if isinstance(self._potential, OnDemand) else UNNAMED}

    @property
    def names(self) -> dict[str, str]:
        """Identity of each energy model -> the name under which its error was measured."""
        named = self.first_names
        if self.judge is not None:
            named[self.judge.identity] = self._judge.name if isinstance(self._judge, OnDemand) else UNNAMED
        return named


@lru_cache(maxsize=2)
def models_by_name(names: ModelNames) -> SearchModels:
    """The models of a search once a process, each loaded when it is first asked for.

    Raises:
        PotentialNameError: There is no potential of that name.
        CheckpointError: A folder that is named holds no checkpoint of its kind.
    """
    check_model_names(names)  # here, not when each is first asked for: that may be minutes later
    nobody = names.judge == "none" or (names.judge == names.potential and names.dispersion is False)
    return SearchModels(
        OnDemand(names.potential, lambda: load_potential(names.potential)),
        OnDemand(names.generator, lambda: load_generator(names.generator)),
        OnDemand(names.templates, lambda: load_templates(names.templates, names.library)),
        None if nobody else OnDemand(names.judge, lambda: _judge(names)),
        OnDemand(names.library, lambda: load_library(names.library)),
    )


def check_model_names(names: ModelNames) -> None:
    """Refuse names of a generator, a potential or a judge that there is none of, without loading one.

    Raises:
        PotentialNameError: There is no potential of that name.
        CheckpointError: A folder that is named holds no checkpoint of its kind.
    """
    check_potential_name(names.potential)
    if names.judge != NO_JUDGE:
        check_potential_name(names.judge)
    if names.generator not in (SHIPPED_GENERATOR, NO_GENERATOR):
        from dao_core.models.checkpoint_io import read_config

        read_config(names.generator, kind="generator")


def load_search_models(**names: str | bool) -> SearchModels:
    """The models of a search: `load_search_models(judge="none")`.

    Args:
        **names: Fields of `ModelNames`; what is left out is the default.

    Returns:
        The models, each loaded when it is first needed.
    """
    return models_by_name(ModelNames.model_validate(names))


def _judge(names: ModelNames) -> LoadedJudge:
    """The judge, unless it is what relaxes first already."""
    loaded = load_judge(names.judge, dispersion=names.dispersion)
    twice = names.judge == names.potential and loaded.potential is load_potential(names.potential)
    return LoadedJudge(None, loaded.note) if twice else loaded


def load_generator(name: str = "dao") -> Generator | None:
    """`dao` (shipped), `none`, or a DAO-G checkpoint folder. Raises CheckpointError."""
    if name == NO_GENERATOR:
        return None
    from dao_core.generate.sampler import Generator

    return Generator.load("generator" if name == SHIPPED_GENERATOR else name)


def load_templates(name: str = "auto", library: str = "auto") -> TemplateIndex | None:
    """`auto` (the library's index, without one AFLOW prototypes), `none`, a CrysDB table, or the folder of an index.

    The index over a table is built once a version and kept in the ledger beside the table.

    Args:
        name: Of the templates.
        library: Of the search: `auto` takes the templates of a folder that it names, else of what is installed.

    Returns:
        The index, None for `none`.

    Raises:
        TemplateIndexError: There is no index of that name.
        LibraryError: The folder that was named holds no whole library.
    """
    if name == "none":
        return None
    from dao_core.generate.templates.aflow import aflow_index

    if name == "auto":
        found = installed_library()[0] if library in ("auto", "none") else named_library(library)
        return aflow_index() if found is None else found.templates()
    from dao_core.crysdb.table import CrysTable
    from dao_core.generate.templates.index import TemplateIndexError
    from dao_core.generate.templates.store import load_index

    table = CrysTable(name)
    if not table.exists:
        if not (Path(name) / "index.json").exists():
            raise TemplateIndexError(f"{name} is neither a CrysDB table nor a template index: correct the path")
        return load_index(name)
    from dao_core.artifacts import Ledger
    from dao_core.generate.templates.from_crysdb import crysdb_templates

    return load_index(crysdb_templates(table, Ledger(table.path.parent / "ledger")).path)


@lru_cache(maxsize=1)
def installed_library() -> tuple[Library | None, str | None]:
    """The user's library, checked once a process, or None with the reason."""
    from dao_core.library.folder import usable_library

    return usable_library()


@lru_cache(maxsize=2)
def named_library(folder: str) -> Library:
    """Another library than the user's, checked once a process. Raises LibraryError where there is no whole one."""
    from dao_core.library.folder import LibraryError, open_library

    library = open_library(folder)
    if library is None:
        raise LibraryError(f"{folder} holds no library: correct the path, or install one with `dao library install`")
    return library


def load_library(name: str = "auto") -> LoadedLibrary:
    """Known structures of a search: `auto` (what is installed), `none`, or the folder of another library.

    Raises:
        LibraryError: A folder that was named holds no whole library.
    """
    if name == "none":
        return LoadedLibrary(None)
    from dao_core.library.known import LibraryStructures

    if name == "auto":
        library, note = installed_library()
        return LoadedLibrary(None if library is None else LibraryStructures(library), note)
    return LoadedLibrary(LibraryStructures(named_library(name)))
