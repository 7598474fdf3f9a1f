"""From a typed configuration to a network."""

from __future__ import annotations

import torch
from pydantic import TypeAdapter
from torch import nn

from dao_core.models.config import CrysformerConfig, CspnetConfig, LocalAdditions, ModelConfig
from dao_core.models.crysformer import Crysformer
from dao_core.models.cspnet import Cspnet
from dao_core.models.default_dtype import default_dtype
from dao_core.models.local import LocalNet


def build_network(config: ModelConfig) -> nn.Module:
    """The network that a configuration describes, with fresh weights in single precision.

    Args:
        config: Kind and sizes.

    Returns:
        The network, in training mode.
    """
    with default_dtype(torch.float32):
        if isinstance(config, CrysformerConfig):
            return Crysformer(config)
        return Cspnet(config) if isinstance(config, CspnetConfig) else LocalNet(config)


def grown(network: nn.Module, additions: LocalAdditions) -> LocalNet:
    """A trained local network with additions that leave its energies as they are, but for atoms in contact and what
    softening changes near symmetric sites.

    Args:
        network: The trained network.
        additions: What it gets; their contributions start at zero.

    Returns:
        A new network with the old weights.

    Raises:
        TypeError: It is no local network.
        ValueError: It has something that the additions lack, or that they give another size.
    """
    if not isinstance(network, LocalNet):
        raise TypeError(f"a {type(network).__name__} cannot grow: start from a local network, or leave out `grow`")
    with default_dtype(torch.float32):
        larger = LocalNet(network.config.model_copy(update=additions.model_dump()))
    old, new = network.state_dict(), larger.state_dict()
    resized = [name for name, values in old.items() if name in new and new[name].shape != values.shape]
    if resized:
        raise ValueError(f"the network already has {resized[0]} in another size: give `grow` the size that it has")
    unknown = larger.load_state_dict(old, strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"the network already has {unknown[0]}: name all of its own additions in `grow` too")
    return larger


def parse_model_config(data: dict[str, object]) -> ModelConfig:
    """Validate the JSON form of a model configuration.

    Args:
        data: As in a checkpoint's `config.json`.

    Returns:
        The typed configuration.

    Raises:
        pydantic.ValidationError: A key is unknown or a value out of range.
    """
    return TypeAdapter(ModelConfig).validate_python(data)
