"""Keys of remote sources: from the environment, or from a Prefect block that only its name points at."""

from __future__ import annotations

from typing import Any

from dao_core.crysdb.config import BuildConfig, open_source, sources_of
from dao_core.crysdb.sources.base import Source
from dao_core.crysdb.sources.settings import MaterialsProjectConfig


class SecretError(ValueError):
    """A Prefect block that is not there or holds no text; the message says how to make it."""


def open_sources(config: BuildConfig) -> list[Source]:
    """The sources of a build, with the keys of those that name a block. Raises SecretError, SourceError."""
    return sources_of(config, [open_source(_with_key(source)) for source in config.sources])


def _with_key(source: object) -> object:
    if not isinstance(source, MaterialsProjectConfig) or source.api_key_block is None or source.api_key is not None:
        return source
    return source.model_copy(update={"api_key": _load(source.api_key_block)})


def _load(name: str) -> object:
    from prefect.blocks.system import Secret
    from pydantic import SecretStr

    load: Any = Secret.load  # a coroutine where an event loop runs, unless told otherwise
    try:
        value = load(name, _sync=True).get()
    except ValueError as error:  # what Prefect raises for a block that does not exist
        raise SecretError(
            f"no Prefect block secret/{name}: make it once, with "
            f'`python -c "from prefect.blocks.system import Secret; Secret(value=input()).save({name!r})"`'
        ) from error
    if not isinstance(value, str):
        raise SecretError(f"the Prefect block secret/{name} holds {type(value).__name__}, expected the key as text")
    return SecretStr(value)
