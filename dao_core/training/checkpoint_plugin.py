"""Lightning's resume state as safetensors and JSON instead of pickle, written atomically."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors.torch import load_file, save_file
from torch import Tensor


def encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON form of nested dicts and lists.

    Args:
        value: What to encode.
        tensors: Receives the tensors, named by their position.

    Raises:
        TypeError: Something has no JSON form.
    """
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value.detach().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):  # JSON keys are strings; ours may be integers
        return {"dict": [[k, encode(v, tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [encode(v, tensors) for v in value]}
    if isinstance(value, list):
        return [encode(v, tensors) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"cannot store a {type(value).__name__} in a checkpoint")


def decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverse of `encode`.

    Args:
        value: The JSON form.
        tensors: By name.
    """
    if isinstance(value, list):
        return [decode(v, tensors) for v in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        if "tuple" in value:
            return tuple(decode(v, tensors) for v in value["tuple"])
        return {k: decode(v, tensors) for k, v in value["dict"]}
    return value


class SafetensorsIO(CheckpointIO):
    """A checkpoint is a directory with `state.safetensors` and `state.json`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:  # noqa: ARG002
        """Write a state so that a kill leaves this one or the one before.

        Args:
            checkpoint: Lightning's state.
            path: The folder.
            storage_options: Not used.
        """
        path = Path(path)
        temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex[:8]}")
        temporary.mkdir(parents=True)
        tensors: dict[str, Tensor] = {}
        text = json.dumps(encode(checkpoint, tensors))
        save_file(tensors, temporary / "state.safetensors")
        (temporary / "state.json").write_text(text)
        for file in temporary.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        old = path.with_name(f"{path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)

    def load_checkpoint(
        self,
        path: Any,
        map_location: Any | None = None,  # noqa: ARG002
        weights_only: bool | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Read a state; where a kill came between the two renames, the one before.

        Args:
            path: The folder.
            map_location: Not used: tensors come on the CPU.
            weights_only: Not used: nothing here is pickled.
        """
        path = Path(path)
        if not path.exists() and path.with_name(f"{path.name}.old").exists():
            path = path.with_name(f"{path.name}.old")  # killed between the two renames
        tensors = load_file(path / "state.safetensors")
        return decode(json.loads((path / "state.json").read_text()), tensors)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a state.

        Args:
            path: The folder; it may be gone.
        """
        shutil.rmtree(path, ignore_errors=True)


def resume_path(directory: Path) -> Path | None:
    """The state to continue from.

    Args:
        directory: Working folder of a training.

    Returns:
        Its folder; None where no run has left one.
    """
    last = directory / "last"
    return last if last.exists() or last.with_name("last.old").exists() else None
