"""`Proposed`: a structure to look at before any energy, and what could not be proposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dao_core.crystal import Crystal
from dao_core.library.known import KnownStructure

KNOWN, TEMPLATE, SEEDED, DE_NOVO = "known", "template", "generated from template", "de novo"
SYMMETRY = "symmetry"


@dataclass(frozen=True)
class Proposed:
    """A structure to look at.

    Attributes:
        id: Unique within a search.
        crystal: As proposed.
        origin: One of `KNOWN`, `TEMPLATE`, `SEEDED`, `SYMMETRY`, `DE_NOVO`.
        log_prior: Log of its probability before any energy; None where nothing is known of it.
        known: The library's entry, where it is one.
        given: What of it was given by the user: "framework", "lattice", "space group" or nothing.
        held: Whether cell and given atoms stay where they are.
        provenance: What made it, for the page: seeds, template ids, model identities.
    """

    id: str
    crystal: Crystal
    origin: str
    log_prior: float | None = None
    known: KnownStructure | None = None
    given: str = ""
    held: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposals:
    """What was proposed.

    Attributes:
        items: The structures.
        refused: A reason for each structure that was asked for and could not be made.
        not_tried: What a limit left out, with the option that lifts it.
    """

    items: list[Proposed] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)
