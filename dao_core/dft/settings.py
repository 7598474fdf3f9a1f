"""Typed settings of a DFT validation: protocols (how accurate) and the run (where, how long, which files)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dao_core.dft.hubbard import checked_u
from dao_core.settings_error import explain_settings
from dao_core.settings_file import ConfigFileError, read_settings_file
from dao_core.units import EV_PER_RY, checked_pressure

ProtocolName = Literal["fast", "balanced", "stringent"]
# `configs` lies beside `dao_core`, in a checkout and in an installed wheel alike
PROTOCOLS_FILE = Path(__file__).resolve().parents[2] / "configs" / "dft_protocols.yaml"


LEAST_DUAL = 4  # ecutrho over ecutwfc: a density has twice the wave vectors of its wavefunctions
HIGHEST_ECUTWFC = 400.0  # Ry, four times what the hardest pseudopotential asks for


class Protocol(BaseModel):
    """Numerical accuracy of one level, in Quantum ESPRESSO's own units (Ry, bohr, kbar)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    cutoff_level: Literal["low", "normal", "high"] = Field(description="which of the library's cutoffs")
    kpoint_distance: float = Field(gt=0, description="largest distance of k-points, 1/angstrom, 2 pi included")
    conv_thr_per_atom: float = Field(gt=0, description="SCF convergence, Ry per atom")
    etot_conv_thr_per_atom: float = Field(gt=0, description="ionic convergence of the energy, Ry per atom")
    forc_conv_thr: float = Field(gt=0, description="ionic convergence of forces, Ry/bohr")
    press_conv_thr: float = Field(gt=0, description="cell convergence of pressure, kbar")
    smearing: Literal["cold", "gaussian", "methfessel-paxton"] = "cold"
    degauss: float = Field(gt=0, description="smearing width, Ry")
    mixing_beta: float = Field(gt=0, le=1)
    electron_maxstep: int = Field(ge=1)
    nstep: int = Field(ge=1, description="ionic steps")
    dos_kpoint_factor: float = Field(0.6, gt=0, le=1, description="k-point distance of the DOS mesh over the SCF's")
    path_density: float = Field(10.0, gt=0, description="k- and q-points per 1/angstrom of a path, 2 pi included")
    phonon_threshold: float = Field(1e-14, gt=0, description="tr2_ph of ph.x, Ry")
    response_grid: int = Field(2, ge=1, le=4, description="q-points an axis of hp.x")
    displacement: float = Field(0.01, gt=0, description="of an atom in a displaced supercell, angstrom")
    supercell_length: float = Field(6.0, gt=0, description="least thickness of a displaced supercell, angstrom")


class DftProtocols(BaseModel):
    """The three protocols; `configs/dft_protocols.yaml` is the shipped instance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fast: Protocol
    balanced: Protocol
    stringent: Protocol

    def get(self, name: ProtocolName) -> Protocol:
        """The protocol of a name."""
        chosen: Protocol = getattr(self, name)
        return chosen


class DftSettings(BaseModel):
    """How and where to run pw.x for a validation.

    `ecutwfc`/`ecutrho` (Ry) replace the library's cutoffs; `electronic_type` "insulator" turns smearing off (by
    default every crystal is treated as a possible metal); `spin` "auto" polarises when a magnetic element is there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: ProtocolName = "fast"
    protocols_file: Path | None = None
    command: str = Field("pw.x", pattern=r"\S")
    ranks: int = Field(1, ge=1, description="MPI ranks of one calculation")
    mpi_command: str = "mpirun -np {ranks}"
    pseudo_dir: Path | None = None
    ecutwfc: float | None = Field(None, gt=0)
    ecutrho: float | None = Field(None, gt=0)
    electronic_type: Literal["metal", "insulator"] = "metal"
    spin: Literal["auto", "none", "polarised"] = "auto"
    orderings: Literal["enumerate", "ferromagnetic"] = Field(
        "enumerate", description="of a magnetic crystal: compute several orderings and keep the lowest, or one"
    )
    max_orderings: int = Field(4, ge=1, description="orderings computed; how many that leaves out is said")
    max_magnetic_cell: int = Field(2, ge=1, le=4, description="largest magnetic supercell, in primitive cells")
    hubbard: Literal["none", "mp", "hp"] = Field(
        "none", description="U of oxides and fluorides: mp is the Materials Project's table, hp linear response by hp.x"
    )
    hubbard_u: Annotated[dict[str, float], AfterValidator(checked_u)] = Field(
        default_factory=dict, description="U in eV by element, in any crystal that holds it, whatever `hubbard` is"
    )
    bader_command: str = Field("bader", description="the program of Bader charges, used where it is installed")
    qe_version: str | None = Field(None, description="of pw.x, such as 7.3; by default it is asked")
    pressure_gpa: Annotated[float, AfterValidator(checked_pressure)] = 0.0
    wall_seconds: float = Field(12 * 3600, gt=0, description="longest time of one pw.x run")
    stall_seconds: float | None = Field(None, gt=0, description="stop a run whose output has not grown for so long")
    max_rounds: int = Field(5, ge=1, description="pw.x runs of one calculation, repairs included")
    min_free_bytes: int = Field(200_000_000, ge=0, description="refuse to start on a fuller disk")
    elements: bool = Field(True, description="also run the elements, for the formation energy")
    keep_scratch: bool = Field(False, description="keep wavefunctions and charge densities of finished runs")

    @model_validator(mode="after")
    def _check_cutoffs(self) -> DftSettings:
        if self.ecutwfc is not None and self.ecutwfc > HIGHEST_ECUTWFC:
            meant = self.ecutwfc / EV_PER_RY
            raise ValueError(f"ecutwfc {self.ecutwfc:g} is in Ry: if it was meant in eV, give {meant:.0f}")
        if self.ecutwfc and self.ecutrho and self.ecutrho < LEAST_DUAL * self.ecutwfc:
            least = LEAST_DUAL * self.ecutwfc
            raise ValueError(
                f"ecutrho {self.ecutrho:g} is less than {LEAST_DUAL} times ecutwfc: give {least:g} or more"
            )
        return self

    def resolved_protocol(self) -> Protocol:
        """The protocol that these settings name, read from its file."""
        return load_protocols(self.protocols_file).get(self.protocol)


class ProtocolFileError(ValueError):
    """The file of protocols is missing or not valid; the message says where."""


def load_protocols(path: str | Path | None = None) -> DftProtocols:
    """Protocols from a YAML file, by default the shipped one. Raises ProtocolFileError with the field that is wrong."""
    try:
        return DftProtocols.model_validate(read_settings_file(path or PROTOCOLS_FILE))
    except OSError as error:
        raise ProtocolFileError(
            f"cannot read the protocols ({error}); give `protocols_file` in the settings"
        ) from error
    except ConfigFileError as error:
        raise ProtocolFileError(str(error)) from error
    except ValidationError as error:
        raise ProtocolFileError(f"{path or PROTOCOLS_FILE}: {explain_settings(error)}") from error
