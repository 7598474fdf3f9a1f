"""From a typed configuration to a network."""

from __future__ import annotations

from pydantic import TypeAdapter
from torch import nn

from dao_core.models.config import CrysformerConfig, CspnetConfig, ModelConfig
from dao_core.models.crysformer import Crysformer
from dao_core.models.cspnet import Cspnet
from dao_core.models.local import LocalNet


def build_network(config: ModelConfig) -> nn.Module:
    """The network that a configuration describes, with fresh weights.

    Args:
        config: Kind and sizes.

    Returns:
        The network, in training mode.
    """
    if isinstance(config, CrysformerConfig):
        return Crysformer(config)
    return Cspnet(config) if isinstance(config, CspnetConfig) else LocalNet(config)


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
