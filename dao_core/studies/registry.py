"""The studies by name; each is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from dao_core.studies.study import Study, StudyError

MODULES = {
    "loop": "dao_core.studies.loop.study",
    "polymorphs": "dao_core.studies.polymorphs.study",
    "pressure": "dao_core.studies.pressure.study",
    "properties": "dao_core.studies.properties.study",
    "superconductors": "dao_core.studies.superconductors.study",
}


def load_study(name: str) -> Study:
    """A study by its name. Raises StudyError where there is none."""
    if name not in MODULES:
        raise StudyError(f"no study {name!r}: use one of {', '.join(MODULES)}")
    study: Study = import_module(MODULES[name]).STUDY
    return study
