"""The documents of an endpoint: what operators edit, what it reports, why, and its history.

Rules:
- An offer or an ask of software that is stopped is shown as none, from the commit of the stop on (invariant 7).

Layer: application; pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar

import orjson
from pydantic import AfterValidator, Field

from orchestrator.application import pushes
from orchestrator.application.documents import instants
from orchestrator.application.documents.applications import ATTRIBUTE_KEY
from orchestrator.application.documents.bodies import REASON_CHARACTERS, Body, RawObject, VersionText, read_text
from orchestrator.application.documents.texts import Raw
from orchestrator.domain import rules
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.software import Strategy
from orchestrator.domain.versions import Version
from protocol import metadata, payloads, topics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.directory import Entry
    from orchestrator.application.documents.texts import Document, Node
    from orchestrator.application.records import EndpointDocument, StoredHistory
    from orchestrator.domain.decisions import SoftwareVerdict
    from orchestrator.domain.endpoints import Attempt, Endpoint
    from orchestrator.domain.explanations import Explanation

_STRING = re.compile(r'("(?:[^"\\]|\\.)*+")(:?)')
"""Of compact JSON; a colon behind it makes it a member's name."""
VOLATILE = frozenset({"lastSeenAt", "runningSince", "runningAsserted", "offer", "consentAsked"})
"""Members that change while nobody edits."""
READ_ONLY = VOLATILE | {"endpointId", "tokenState", "registeredAt", "runningVersion", "observe"}


def _token(text: str) -> str:
    if not topics.TOKEN.fullmatch(text):
        raise ValueError("must have 1 to 64 characters, and none of + # / .")
    return text


def _attributes(text: str) -> str:
    if not text.startswith("{"):
        raise ValueError("must be an object")
    values = payloads.storable(payloads.decode(text.encode(), payloads.Limits(payload_bytes=len(text) * 4, depth=200)))
    for key in values if isinstance(values, dict) else ():
        if not ATTRIBUTE_KEY.fullmatch(key):
            raise ValueError("each key must consist of at most 64 letters, digits and underscores")
    metadata.check_all(len(values) if isinstance(values, dict) else 0, len(text.encode()))
    # Databases find members by their names as these are written: an escape in one would hide it from filters.
    return _STRING.sub(_unescaped_name, text) if "\\" in text else text


def _unescaped_name(match: re.Match[str]) -> str:
    text, colon = match.groups()
    return orjson.dumps(orjson.loads(text)).decode() + colon if colon and "\\" in text else match[0]


Token = Annotated[str, read_text(_token)]
State = Annotated[TokenState, Field(strict=False)]


class EndpointBody(Body):
    """What operators say of an endpoint."""

    raw: ClassVar[frozenset[str]] = frozenset({"attributes"})

    token: Token | None = None
    """Null: it stays; for a new endpoint, its endpointId."""
    app_version: str | None = None
    """Null: it stays; for a new endpoint, the application's only one."""
    attributes: Annotated[RawObject, AfterValidator(_attributes)] = "{}"
    pinned: VersionText | None = None

    @property
    def pin(self) -> Version | None:
        """The version that it is pinned to."""
        return None if self.pinned is None else Version.parse(self.pinned)


class RetryBody(Body):
    """Which failures to forget."""

    version: VersionText | None = None
    """Null: those of all versions."""


class TokenBody(Body):
    """What to do with a token."""

    state: State | None = None
    token: Token | None = None
    """The new one."""


class ConsentBody(Body):
    """What is said of a version at an endpoint."""

    version: VersionText | None = None
    """Null: the one that the endpoint is offered or waits for."""
    granted: bool = True
    """False: it is refused, or taken back."""
    reason: Annotated[str | None, Field(max_length=REASON_CHARACTERS)] = None


class RecallBody(Body):
    """Why a software is recalled."""

    reason: Annotated[str | None, Field(max_length=REASON_CHARACTERS)] = None


def build(document: EndpointDocument, entry: Entry) -> Document:
    """The document of an endpoint."""
    record = document.record
    endpoint = record.endpoint
    return {
        "endpointId": document.endpoint_id,
        "token": record.token,
        "tokenState": endpoint.token_state.value,
        "appVersion": record.app_version,
        "attributes": Raw(document.attributes),
        "runningVersion": _text(endpoint.running),
        "runningAsserted": endpoint.running is not None and endpoint.running_since is None,
        "runningSince": instants.build_optional(endpoint.running_since),
        "lastSeenAt": instants.build_optional(endpoint.last_seen_at),
        "registeredAt": instants.build(endpoint.registered_at),
        "observe": endpoint.observe,
        "pinned": _text(endpoint.pinned),
        "offer": _build_offer(endpoint, entry),
        "consentAsked": _text(_asked(endpoint, entry)),
    }


def _build_offer(endpoint: Endpoint, entry: Entry) -> Node:
    attempt = endpoint.offer
    if attempt is None or not pushes.visible(entry, attempt.version, attempt.state):
        return None
    if attempt.state is AttemptState.OFFERED and _narrowed(attempt, endpoint, entry):
        return None
    return {
        "version": attempt.version.text,
        "sequence": attempt.sequence,
        "state": attempt.state.value,
        "offeredAt": instants.build(attempt.offered_at),
        "attempt": attempt.number,
        "percent": attempt.percent,
    }


def _asked(endpoint: Endpoint, entry: Entry) -> Version | None:
    asked = endpoint.asked
    if asked is None or not pushes.asking(entry, asked):
        return None
    return None if rules.consented_to(asked, endpoint, entry.catalogue) else asked


def _narrowed(attempt: Attempt, endpoint: Endpoint, entry: Entry) -> bool:
    """Whether the software is for this endpoint no more: withdrawn from the change on, though not swept yet."""
    software = entry.software_of(attempt.version)
    if software is None or software not in entry.catalogue.edges_from(endpoint.running):
        return True
    listed = {use.filter_id for use in software.filters}
    if not rules.consented_to(attempt.version, endpoint, entry.catalogue):
        return True
    targeted = software.strategy is Strategy.TARGETED and endpoint.pinned != attempt.version
    return targeted and not listed & endpoint.filters


def build_explanation(endpoint_id: str, explanation: Explanation, notes: Sequence[str]) -> Document:
    """Why an endpoint is offered what it is offered; `notes` are added to the summary."""
    return {
        "endpointId": endpoint_id,
        "runningVersion": _text(explanation.running),
        "outcome": explanation.outcome.value,
        "hop": _text(explanation.hop),
        "goal": _text(explanation.goal),
        "path": [version.text for version in explanation.path],
        "waitsUntil": instants.build_optional(explanation.waits_until),
        "summary": "; ".join([explanation.summary, *notes]),
        "software": [_build_verdict(verdict) for verdict in explanation.software],
    }


def _build_verdict(verdict: SoftwareVerdict) -> Document:
    return {
        "version": verdict.version.text,
        "eligible": verdict.eligible,
        "open": verdict.open,
        "reachable": verdict.reachable,
        "rules": [{"rule": rule.rule, "passed": rule.passed, "detail": rule.detail} for rule in verdict.rules],
    }


def build_history(stored: StoredHistory) -> Document:
    """One line of an endpoint's history."""
    entry = stored.entry
    return {
        "at": instants.build(entry.at),
        "kind": entry.kind.value,
        "version": _text(entry.version),
        "statusCode": entry.status_code,
        "reason": entry.reason,
    }


def _text(version: Version | None) -> str | None:
    return None if version is None else version.text
