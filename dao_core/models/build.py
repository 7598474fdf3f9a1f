"""From a typed configuration to a network."""

from __future__ import annotations

from pydantic import TypeAdapter
from torch import nn

from dao_core.models.config import CrysformerConfig, ModelConfig
from dao_core.models.crysformer import Crysformer
from dao_core.models.cspnet import Cspnet


def build_network(config: ModelConfig) -> nn.Module:
    """The network a configuration describes, with fresh weights."""
    return Crysformer(config) if isinstance(config, CrysformerConfig) else Cspnet(config)


def parse_model_config(data: dict[str, object]) -> ModelConfig:
    """Validate the JSON form of a model configuration."""
    return TypeAdapter(ModelConfig).validate_python(data)
