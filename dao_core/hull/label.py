"""`EnergyLabel`: what an energy means, as a value that travels with it. Energies of two labels are never subtracted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EnergyKind = Literal["total", "formation"]


class ForeignEnergyError(ValueError):
    """Energies of one label were held against a hull or references of another; the message names both."""


@dataclass(frozen=True, order=True)
class EnergyLabel:
    """Who made an energy per atom, and what it is counted from.

    Attributes:
        made_by: The identity of a potential with its weights, or the functional (level of theory) of a calculation.
        kind: "total" for a total energy (CHGNet, pw.x, MP), "formation" where the elements are zero (DAO-P, OQMD).
        corrected: Whether the source's own correction (such as MP2020's) is added in.
        source: The source of CrysDB whose settings and corrections made it; None where `made_by` says it all.
    """

    made_by: str
    kind: EnergyKind = "total"
    corrected: bool = False
    source: str | None = None

    def __str__(self) -> str:
        """In words, for messages and tables: "corrected total energy, materials_project GGA_GGA+U"."""
        who = f"{self.source} {self.made_by}" if self.source else self.made_by
        return f"{'corrected ' if self.corrected else ''}{self.kind} energy, {who}"

    @classmethod
    def from_identity(cls, identity: str) -> EnergyLabel:
        """The label behind a text of the version before, where a prefix or a suffix carried the meaning.

        Args:
            identity: "source|functional|total", "...|total+correction" or "...|formation" as a hull was called, or the
                identity of a potential; DAO-P's began with "dao-predictor".

        Returns:
            The label that today's code would give.
        """
        parts = identity.rsplit("|", maxsplit=1)
        if len(parts) == 2 and parts[1] in ("total", "total+correction", "formation"):
            source, _, functional = parts[0].partition("|")
            kind: EnergyKind = "formation" if parts[1] == "formation" else "total"
            return cls(functional, kind, parts[1].endswith("+correction"), source)
        return cls(identity, "formation" if identity.startswith("dao-predictor") else "total")


def check_label(expected: EnergyLabel, given: EnergyLabel | None) -> None:
    """Refuse to compare energies that mean different things.

    Args:
        expected: The label of the hull or of the references.
        given: The label of the energies at hand; None where nobody said.

    Raises:
        ForeignEnergyError: The two differ; the message names both and the remedies.
    """
    if given != expected:
        kind = "without a label" if given is None else f"{str(given)!r}"
        raise ForeignEnergyError(
            f"the energies are {kind} but the hull stands on {str(expected)!r}: use a hull of the same energies, relax "
            "the hull's phases with the same potential (relaxed_hull), or compute the energies with the hull's"
        )
