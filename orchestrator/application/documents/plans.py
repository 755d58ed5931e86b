"""What is to be planned, and the plan.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from orchestrator.application.documents import declarations, durations
from orchestrator.application.documents.bodies import Body
from orchestrator.application.documents.declarations import CatalogueBody, DeclaredSoftwareBody, read_software
from orchestrator.application.problems import MemberError
from protocol import payloads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from orchestrator.application.documents.declarations import Declaration
    from orchestrator.application.documents.texts import Document
    from orchestrator.domain.plans import Planner
    from orchestrator.domain.policies import Stage
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


def build(
    planner: Planner,
    spans: Mapping[Version | None, timedelta | None],
    first: Mapping[Version, int],
    warnings: Sequence[str],
) -> Document:
    """The document of a plan: moves from the lowest version on, the unknown one first; obstacles by their weight.

    `spans` say how long each rollout takes, and under None all of them; `first`, how many offers of each software are
    made at once.
    """
    forecast = planner.forecast
    moves = sorted(forecast.moves.items(), key=lambda item: (_place(item[0].source), item[0].target))
    obstacles = sorted(forecast.unreachable.items(), key=lambda item: (-item[1], item[0]))
    offers = sorted(first.keys() | forecast.asks.keys())
    return {
        "endpoints": forecast.running.total(),
        "moves": [
            {"from": None if edge.source is None else edge.source.text, "to": edge.target.text, "endpoints": amount}
            for edge, amount in moves
        ],
        "stages": [
            {
                "version": version.text,
                "stages": _build_stages(planner.catalogue.policy_of(version).stages, sizes),
                "duration": _build_span(spans.get(version)),
            }
            for version, sizes in sorted(forecast.stages.items())
        ],
        "firstOffers": [
            {"version": version.text, "endpoints": first.get(version, 0), "asked": forecast.asks[version]}
            for version in offers
        ],
        "duration": _build_span(spans.get(None)),
        "unreachable": [{"reason": reason, "endpoints": amount} for reason, amount in obstacles],
        "warnings": list(warnings),
    }


def _build_stages(stages: Sequence[Stage], sizes: Sequence[int]) -> list[Document]:
    return [{"stage": number, **_build_share(stage), "endpoints": sizes[number]} for number, stage in enumerate(stages)]


def _build_share(stage: Stage) -> Document:
    if stage.percent is not None:
        return {"percent": int(stage.percent) if stage.percent % 1 == 0 else stage.percent}
    return {"filter": stage.filter_id} if stage.count is None else {"count": stage.count}


def _build_span(span: timedelta | None) -> str | None:
    return None if span is None else durations.build(span)


def _place(version: Version | None) -> tuple[bool, Version | None]:
    return (version is not None, version)
