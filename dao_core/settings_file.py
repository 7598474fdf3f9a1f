"""A YAML file of settings as a mapping; what it says twice, or without an end, is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yaml import SafeLoader
    from yaml.nodes import MappingNode, Node


class ConfigFileError(ValueError):
    """A settings file that is not a YAML mapping; the message says what was found and where."""


def read_settings_file(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: The file, UTF-8 with or without a byte order mark.

    Returns:
        Its settings by name.

    Raises:
        ConfigFileError: The file is no text in UTF-8, no YAML or no mapping, has a key twice, or an alias that contains
            itself.
        FileNotFoundError: There is no such file.
    """
    import yaml

    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(f"{path} is no text in UTF-8 (line {line}): save it as UTF-8") from error
    try:
        content = _content(yaml.SafeLoader(text))
    except _Mistake as error:
        raise ConfigFileError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        # the last three: a date such as 2026-13-45, a mapping as a key, thousands of brackets
        raise ConfigFileError(f"{path} is not readable as YAML: {' '.join(str(error).split())}") from error
    if content is None:
        raise ConfigFileError(f"{path} is empty: expected a mapping of settings")
    if not isinstance(content, dict):
        raise ConfigFileError(f"{path} holds {type(content).__name__}, expected a mapping of settings")
    return content


class _Mistake(Exception):
    """What YAML allows and settings must not have."""


def _content(loader: SafeLoader) -> Any:
    node = loader.get_single_node()
    if node is None:
        return None
    _check(node, (), set())
    return loader.construct_document(node)


def _check(node: Node, above: tuple[int, ...], checked: set[int]) -> None:
    """Refuse a key that stands twice in one mapping, and an alias inside what it stands for."""
    from yaml.nodes import MappingNode, SequenceNode

    if id(node) in above:
        raise _Mistake(f"what begins in line {node.start_mark.line + 1} contains itself: write its values out")
    if id(node) in checked:  # by another alias
        return
    checked.add(id(node))
    inside: list[Node] = []
    if isinstance(node, MappingNode):
        _check_keys(node)
        inside = [part for pair in node.value for part in pair]
    elif isinstance(node, SequenceNode):
        inside = node.value
    for part in inside:
        _check(part, (*above, id(node)), checked)


def _check_keys(node: MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        name, line = (key.tag, str(key.value)), key.start_mark.line + 1
        if name in lines:
            raise _Mistake(f"the key {name[1]!r} stands twice, in lines {lines[name]} and {line}: remove one")
        lines[name] = line
