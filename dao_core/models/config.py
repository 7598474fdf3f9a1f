"""Typed settings of the networks; instances live as YAML in `configs/`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class CrysformerConfig(BaseModel):
    """Crysformer. With every correction off and the default sizes it is the published network (25.2 M parameters)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["crysformer"] = "crysformer"
    width: int = Field(384, gt=0)
    n_blocks: int = Field(12, gt=0)
    n_heads: int = Field(8, gt=0)
    n_frequencies: int = Field(128, gt=0, description="Fourier features of the fractional offset, per axis")
    time_dim: int = Field(256, gt=0, multiple_of=2)
    n_energies: int = Field(0, ge=0, description="columns of the energy head; 0 for a generator")
    # Corrections; each can be switched alone for an ablation.
    distances: bool = Field(False, description="radial basis of Cartesian distances, summed over periodic images")
    n_radial: int = Field(24, gt=0)
    cutoff: float = Field(5.0, gt=0, description="angstrom")
    normalized_gram: bool = Field(False, description="Gram matrix over V^(2/3), and log(V/N), instead of raw A^2")
    modulation: bool = Field(
        False, description="time and lattice scale, shift and gate every block (adaptive LayerNorm)"
    )
    modulation_dim: int = Field(64, gt=0)
    pair_width: int = Field(0, ge=0, description="width of an element-aware pair network; 0: raw pair features")


class CspnetConfig(BaseModel):
    """DiffCSP's message passing network (Jiao et al., NeurIPS 2023) on the dense fully connected graph."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["cspnet"] = "cspnet"
    width: int = Field(512, gt=0)
    n_blocks: int = Field(6, gt=0)
    n_frequencies: int = Field(128, gt=0)
    time_dim: int = Field(256, gt=0, multiple_of=2)
    n_energies: int = Field(0, ge=0, description="columns of the energy head; 0 for a generator")


class LocalAdditions(BaseModel):
    """What the second version of the local network can have on top; all off, the network is that of the first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tensor_width: int = Field(0, ge=0, description="channels of symmetric traceless tensors (l = 2) beside the vectors")
    repulsion: bool = Field(False, description="screened nuclear repulsion of atoms in contact")
    references: bool = Field(False, description="an energy of each element, beside what its surroundings give")
    softening: float = Field(
        1e-4, gt=0, description="length of a vector below which it counts by its square; usual lengths are 0.04 to 0.2"
    )


class LocalConfig(LocalAdditions):
    """A local equivariant network for energies: exact in cell choice and symmetry, which Crysformer is not."""

    kind: Literal["local"] = "local"
    width: int = Field(128, gt=0)
    n_blocks: int = Field(3, gt=0)
    n_radial: int = Field(24, gt=0)
    cutoff: float = Field(6.0, gt=0, description="angstrom")
    time_dim: int = Field(32, gt=0, multiple_of=2)
    n_energies: int = Field(1, gt=0, description="columns of the energy head")


ModelConfig = Annotated[CrysformerConfig | CspnetConfig | LocalConfig, Field(discriminator="kind")]
