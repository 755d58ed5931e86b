"""The document of a software definition, in Kaa's shape.

Rules:
- Specification and metadata keep the text in which they came, insignificant whitespace aside.
- An absent specification and a null one are the same: nothing to offer.

Spec: Kaa OTAO, "Software definition"; docs/reference/rest-api.md, "How a software spreads", for `rollout`.
Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field

from orchestrator.application.documents import instants
from orchestrator.application.documents.bodies import LISTED, Body, ConstraintText, Instant, RawObject, RawText
from orchestrator.application.documents.filters import FILTER_ID, FILTER_ID_MEANS
from orchestrator.application.documents.rollouts import RolloutBody
from orchestrator.application.documents.texts import Raw
from orchestrator.application.documents.wordings import beyond
from orchestrator.domain.software import FilterUse, Strategy
from orchestrator.domain.versions import Constraint
from protocol import payloads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from orchestrator.application.documents.texts import Document
    from orchestrator.application.records import SoftwareRecord
    from orchestrator.domain.policies import RolloutPolicy
    from protocol.payloads import Limits

READ_ONLY = frozenset({"version", "recalledAt", "offeredAt", "createdAt", "updatedAt"})


class FilterUseBody(Body):
    """A filter that a software lists."""

    filter_id: Annotated[str, Field(pattern=FILTER_ID), beyond(FILTER_ID_MEANS)]
    rollout_date: Instant | None = None
    """From when on it counts; null: always."""


def _distinct_filters(uses: list[FilterUseBody]) -> list[FilterUseBody]:
    if len({use.filter_id for use in uses}) != len(uses):
        raise ValueError("must not name a filter twice")
    return uses


def _object(text: str) -> str:
    if not text.startswith("{"):
        raise ValueError("must be an object")
    return text


class SoftwareBody(Body):
    """What operators say of a software."""

    raw: ClassVar[frozenset[str]] = frozenset({"specification", "metadata"})

    upgradable_from: Annotated[list[ConstraintText], Field(max_length=LISTED)] = Field(default_factory=list)
    rollout_strategy: Annotated[Strategy, Field(strict=False)]
    filters: Annotated[list[FilterUseBody], Field(max_length=LISTED), AfterValidator(_distinct_filters)] = Field(
        default_factory=list
    )
    """For `targeted`: endpoints that match one of them."""
    rollout: RolloutBody | None = None
    specification: Annotated[RawText, Field(repr=False)] = "null"
    """What a device needs to install it; null: it is never offered."""
    metadata: Annotated[RawObject, AfterValidator(_object)] = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A software as operators define it, its version aside."""

    upgradable_from: tuple[Constraint, ...]
    strategy: Strategy
    filters: tuple[FilterUse, ...]
    specification: str | None = field(repr=False)
    """JSON text; None when it is absent or null."""
    metadata: str
    """JSON text of an object."""
    rollout: str | None
    """JSON text as it was given; None when it is absent or null."""
    policy: RolloutPolicy
    rollout_date: datetime | None


def read(members: Mapping[str, str], limits: Limits, *, at: str = "") -> Definition:
    """The definition that the members of a body give, each as its JSON text; `at` is its path in a larger body.

    Raises:
        MemberError: one of them is unknown, missing, of another type, or out of bounds.
        PayloadError: a number is too large, or a text cannot be stored.
    """
    body = SoftwareBody.read(members, limits, at=at)
    rollout = RolloutBody() if body.rollout is None else body.rollout
    return Definition(
        upgradable_from=tuple(Constraint.parse(text) for text in body.upgradable_from),
        strategy=body.rollout_strategy,
        filters=tuple(FilterUse(filter_id=use.filter_id, rollout_date=use.rollout_date) for use in body.filters),
        specification=None if body.specification == "null" else body.specification,
        metadata=body.metadata,
        rollout=None if body.rollout is None else payloads.compact(members["rollout"]),
        policy=rollout.policy,
        rollout_date=rollout.start,
    )


def build(record: SoftwareRecord) -> Document:
    """The document of a software."""
    software = record.software
    return {
        "version": software.version.text,
        "upgradableFrom": record.upgradable_from,
        "rolloutStrategy": software.strategy.value,
        "filters": [
            {"filterId": use.filter_id, "rolloutDate": instants.build_optional(use.rollout_date)}
            for use in software.filters
        ],
        "rollout": None if record.rollout is None else Raw(record.rollout),
        "specification": None if record.specification is None else Raw(record.specification),
        "metadata": Raw(record.metadata),
        "recalledAt": instants.build_optional(software.recalled_at),
        "offeredAt": instants.build_optional(record.offered_at),
        "createdAt": instants.build(record.created_at),
        "updatedAt": instants.build(record.updated_at),
    }
