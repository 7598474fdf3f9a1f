"""Checkpoints: `model.safetensors`, `config.json` (with the weights' SHA-256) and `card.md`. Never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from dao_core.artifacts import write_atomic
from dao_core.models.build import build_network, parse_model_config

FORMAT = 1
SHIPPED = Path(__file__).parent / "checkpoints"


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged or of another kind; the message names it and the remedy."""


@dataclass
class Checkpoint:
    """A network ready for use and all that is known about it."""

    network: nn.Module
    kind: str
    config: dict[str, Any]
    path: Path

    @property
    def identity(self) -> str:
        """Kind and weights hash: what made an energy or a structure."""
        return f"dao-{self.kind}-{self.config['sha256'][:12]}"


@dataclass(frozen=True)
class CheckpointContent:
    """What a checkpoint says beside its weights.

    Attributes:
        kind: "generator", "predictor" or "property".
        model: JSON form of the network's configuration.
        extra: What the kind needs beside the weights: scalers, lattice base, data version.
        card: The model card, Markdown.
    """

    kind: str
    model: dict[str, Any]
    extra: dict[str, Any]
    card: str


def save_checkpoint(directory: Path, weights: dict[str, Tensor], content: CheckpointContent) -> Path:
    """Write a checkpoint directory.

    Args:
        directory: Where to; made if it is missing.
        weights: State dict of the network.
        content: Everything else.

    Returns:
        The directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sha256 = write_weights(directory / "model.safetensors", weights)
    config = {"format": FORMAT, "kind": content.kind, "sha256": sha256, "model": content.model, **content.extra}
    write_atomic(directory / "card.md", content.card)
    write_atomic(directory / "config.json", json.dumps(config, indent=1))
    return directory


def load_checkpoint(directory: Path | str, *, kind: str | None = None) -> Checkpoint:
    """Load and verify a checkpoint.

    Args:
        directory: Its folder, or the name of one that ships; see `resolve`.
        kind: What it must be; anything if None.

    Returns:
        The network in evaluation mode, and all that is known about it.

    Raises:
        CheckpointError: It is missing, damaged or not of the wanted kind.
    """
    directory, config, weights = read_checkpoint(directory, kind=kind)
    with named_faults(directory):
        network = build_network(parse_model_config(config["model"]))
    load_weights(network, weights, directory)
    network.eval()
    return Checkpoint(network, config["kind"], config, directory)


def read_checkpoint(
    directory: Path | str, *, kind: str | None = None
) -> tuple[Path, dict[str, Any], dict[str, Tensor]]:
    """Read a checkpoint and verify its weights.

    Args:
        directory: The checkpoint's folder, or the name of a shipped one; see `resolve`.
        kind: What it must hold, such as "generator"; None takes any.

    Returns:
        (folder, configuration, weights by name).

    Raises:
        CheckpointError: It is absent, damaged or of another kind.
    """
    directory, config = read_config(directory, kind=kind)
    weights = directory / "model.safetensors"
    return directory, config, verified_weights(weights, _content(weights), config.get("sha256"))


def read_config(directory: Path | str, *, kind: str | None = None) -> tuple[Path, dict[str, Any]]:
    """Read what a checkpoint says of itself, without its weights.

    Args:
        directory: As for `read_checkpoint`.
        kind: What it must hold; None takes any.

    Returns:
        (folder, configuration).

    Raises:
        CheckpointError: It is absent, or its configuration is damaged or of another kind or format.
    """
    directory = resolve(directory)
    try:
        config = json.loads(_content(directory / "config.json"))
    except ValueError as error:
        raise CheckpointError(f"{directory} is not a checkpoint: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{directory}/config.json is no checkpoint configuration: fetch or train it again")
    if kind is not None and config.get("kind") != kind:
        raise CheckpointError(f"{directory} holds a {config.get('kind')!r} model, a {kind!r} is needed")
    if config.get("format") != FORMAT:
        raise CheckpointError(f"{directory} has checkpoint format {config.get('format')}, this version reads {FORMAT}")
    return directory, config


def _content(path: Path) -> bytes:
    """Bytes of a file of a checkpoint. Raises CheckpointError where it can't be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} is not a checkpoint: it has no {path.name}; name its folder, or a model that ships"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path.parent} is not a checkpoint: {error}") from error


def write_weights(path: Path, weights: dict[str, Tensor]) -> str:
    """Write weights as safetensors.

    Args:
        path: The file.
        weights: By name, on any device.

    Returns:
        SHA-256 of the file.
    """
    data = save_tensors({name: w.detach().cpu().contiguous() for name, w in sorted(weights.items())})
    write_atomic(path, data)
    return hashlib.sha256(data).hexdigest()


def verified_weights(path: Path, data: bytes, sha256: str | None) -> dict[str, Tensor]:
    """Weights from what `write_weights` wrote.

    Args:
        path: The file, for the message.
        data: Its content.
        sha256: What `write_weights` returned.

    Returns:
        By name.

    Raises:
        CheckpointError: The content is another, or holds no weights.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointError(f"{path} is damaged (SHA-256 differs): fetch or train it again")
    try:
        return load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is unreadable: {error}; fetch or train it again") from error


def weights_hash(network: nn.Module) -> str:
    """Hash of a network's weights: the same for all ranks that trained together, and part of a model's identity.

    Args:
        network: Any network.

    Returns:
        20 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        digest.update(name.encode() + weight.cpu().numpy().tobytes())
    return digest.hexdigest()[:20]


def load_weights(network: nn.Module, weights: dict[str, Tensor], directory: Path) -> None:
    """Put weights into a network.

    Args:
        network: Made from the checkpoint's configuration.
        weights: By name, from `read_checkpoint`.
        directory: The checkpoint's folder, for the message.

    Raises:
        CheckpointError: The weights do not fit the network.
    """
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{directory}: the weights do not fit the configuration: {error}") from error


@contextmanager
def named_faults(directory: Path) -> Iterator[None]:
    """Turn what goes wrong while a checkpoint's configuration is read into an error that names the checkpoint.

    Args:
        directory: The checkpoint's folder.

    Raises:
        CheckpointError: A key is missing or has a wrong type or size.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{directory}/config.json is damaged ({error!r}): fetch or train it again") from error


def earlier_trainings(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Facts of all trainings that made a checkpoint's weights.

    Args:
        checkpoint: Of any kind.

    Returns:
        One entry a training, oldest first.
    """
    return [*checkpoint.config.get("earlier_training", []), checkpoint.config.get("training", {})]


def continued_card(card: str, earlier: Checkpoint) -> str:
    """The card of a model that continues another's weights.

    Args:
        card: Its own card.
        earlier: The checkpoint that it continues.

    Returns:
        Its own card, then the other's with its data and licences.
    """
    path = earlier.path / "card.md"
    known = path.read_text() if path.exists() else "No card came with it.\n"
    return f"{card.rstrip()}\n\n# Continues {earlier.identity}\n\n{known}"


def resolve(directory: Path | str) -> Path:
    """The folder of a checkpoint.

    Text that is the name of a checkpoint that ships (`generator`, `predictor`, `symmetry`) means that one, whatever
    lies in the working directory; a folder of that name is written with a separator, `./generator`. A `Path` has lost
    the `./`, so one means the folder where it exists.

    Args:
        directory: A folder, or the name of a checkpoint that ships with the package.

    Returns:
        The folder; it need not exist.
    """
    path = Path(directory)
    ships = path == Path(path.name) and (SHIPPED / path.name).is_dir()
    named = path.name == directory if isinstance(directory, str) else not path.exists()
    return SHIPPED / path.name if ships and named else path
