"""What is wrong with some settings, in the same words on the command line, for files and in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from reprlib import Repr
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound="BaseModel")
_SECRET_NAMES, _HIDDEN = ("key", "token", "password", "secret"), "(hidden)"
_DEEPEST, _WIDEST = 4, 8  # levels and entries of a value that are shown; a value may contain itself
_SHOWN = Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 120


class SettingsError(ValueError):
    """A setting of an unknown name or with a value that cannot be used; the message says which and what may be."""


def checked_settings(model: type[Model], values: Mapping[str, Any], allowed: Iterable[str] | None = None) -> Model:
    """Settings from Python's keywords.

    Args:
        model: Class of the settings.
        values: By name.
        allowed: The names to list where one is unknown; None: the model's own.

    Returns:
        The settings.

    Raises:
        SettingsError: A name is unknown or a value wrong.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsError(explain_settings(error, allowed or model.model_fields)) from None


def explain_settings(error: ValidationError, allowed: Iterable[str] = ()) -> str:
    """The first mistake of some settings in one line.

    Args:
        error: Of pydantic.
        allowed: Names that the settings may have, listed where one is unknown.

    Returns:
        Which setting, what is wrong and what was given; the value of a secret is never shown.
    """
    first = error.errors(include_url=False)[0]
    where = (
        ".".join(str(part) for part in first["loc"] if "[" not in str(part)) or error.title
    )  # of a union: literal[..]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        names = sorted(allowed) if len(first["loc"]) == 1 else []
        close = get_close_matches(where, names, n=1)
        hint = f": do you mean {close[0]!r}?" if close else ": remove it or correct its spelling"
        listed = f"; there are {', '.join(names)}" if names else ""
        return f"settings: unknown key {where!r}{hint}{listed}{more}"
    secret = bool(first["loc"]) and _is_secret(first["loc"][-1])
    shown = _HIDDEN if secret else _SHOWN.repr(_without_secrets(first["input"]))
    return f"settings: {where}: {first['msg']}, got {shown}{more}"


def _is_secret(name: object) -> bool:
    """Whether the value of a setting must not be shown, by the setting's name."""
    return isinstance(name, str) and any(word in name.lower() for word in _SECRET_NAMES)


def _without_secrets(value: Any, depth: int = 0) -> Any:
    """A value as it may be shown: an error about a mapping shows all of it, keys of remote sources too."""
    if isinstance(value, dict | list | tuple) and depth >= _DEEPEST:
        return "..."
    if isinstance(value, dict):
        first = islice(value.items(), _WIDEST)
        return {k: _HIDDEN if _is_secret(k) else _without_secrets(v, depth + 1) for k, v in first}
    if isinstance(value, list | tuple):
        return [_without_secrets(v, depth + 1) for v in value[:_WIDEST]]
    return value
