"""What is to be planned, and the plan.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from orchestrator.application.documents import declarations
from orchestrator.application.documents.bodies import Body
from orchestrator.application.documents.declarations import CatalogueBody, DeclaredSoftwareBody, read_software
from orchestrator.application.problems import MemberError
from protocol import payloads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.application.documents.declarations import Declaration
    from orchestrator.application.documents.texts import Document
    from orchestrator.domain.plans import Forecast
    from orchestrator.domain.versions import Version
    from protocol.payloads import Limits


class PlanBody(Body):
    """What is to be planned: one software, or a catalogue."""

    raw: ClassVar[frozenset[str]] = frozenset({"software", "catalogue"})

    software: DeclaredSoftwareBody | None = None
    catalogue: CatalogueBody | None = None
    check_links: bool = False
    """Whether to have a look at what specifications link to."""


class _PlanParts(Body):
    raw: ClassVar[frozenset[str]] = PlanBody.raw

    software: str | None = None
    catalogue: str | None = None
    check_links: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is to be planned."""

    declaration: Declaration
    check_links: bool = False


def read(members: Mapping[str, str], limits: Limits) -> Proposal:
    """The proposal that the members of a body make, each as its JSON text.

    Paths in errors begin at the catalogue, or with `software`.

    Raises:
        MemberError: a member is unknown, missing, of another type, or out of bounds.
        PayloadError: a number is too large, or a text cannot be stored.
    """
    given = {name: text for name, text in members.items() if text != "null"}
    parts = _PlanParts.read(given, limits)
    if (parts.software is None) is (parts.catalogue is None):
        raise MemberError("either 'software' or 'catalogue' is required, and not both", "member-missing")
    if parts.software is not None:
        declaration = read_software(parts.software, limits)
    else:
        text = parts.catalogue or ""
        if not text.startswith("{"):
            raise MemberError("'catalogue': must be an object", "member-type")
        declaration = declarations.read(payloads.members(text, limits), limits)
    return Proposal(declaration=declaration, check_links=parts.check_links)


def build(forecast: Forecast, warnings: Sequence[str]) -> Document:
    """The document of a plan: moves from the lowest version on, the unknown one first; obstacles by their weight."""
    moves = sorted(forecast.moves.items(), key=lambda item: (_place(item[0].source), item[0].target))
    obstacles = sorted(forecast.unreachable.items(), key=lambda item: (-item[1], item[0]))
    return {
        "endpoints": forecast.running.total(),
        "moves": [
            {"from": None if edge.source is None else edge.source.text, "to": edge.target.text, "endpoints": amount}
            for edge, amount in moves
        ],
        "unreachable": [{"reason": reason, "endpoints": amount} for reason, amount in obstacles],
        "warnings": list(warnings),
    }


def _place(version: Version | None) -> tuple[bool, Version | None]:
    return (version is not None, version)
