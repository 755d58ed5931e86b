"""What each request of an endpoint does to it, and what it is answered.

Rules:
- A refused request changes nothing and creates nothing (invariant 10).
- A request that was processed before is answered again, without effect (invariant 2).
- An answer goes out with the request's QoS, to its Response Topic or its own status topic, after the commit.

Spec: 7/CMP, 10/EPMP, 1/KP.
Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import orjson

from orchestrator.application import drafts, pushes
from orchestrator.application.answers import Answer
from orchestrator.application.refusals import OperatorKeyError
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.facts import Consented, HealthReported, Heard, ObserveAsked, Progressed, Reported
from orchestrator.domain.versions import Version
from protocol import configurations, metadata
from protocol.configurations import AppliedReport, ConfigRequest
from protocol.consents import ConsentAnswer
from protocol.health import HealthReport
from protocol.links import Outbound
from protocol.metadata import (
    MetadataDeletion,
    MetadataKeysQuery,
    MetadataQuery,
    MetadataReplacement,
    MetadataUpdate,
)
from protocol.progress import ProgressReport

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Draft
    from orchestrator.domain.facts import Fact
    from protocol.links import Inbound
    from protocol.payloads import JsonValue
    from protocol.requests import Request

METADATA = (MetadataUpdate, MetadataReplacement, MetadataQuery, MetadataKeysQuery, MetadataDeletion)


class Handling:
    """One request being handled: the endpoint as drafted so far, and the moment."""

    __slots__ = ("_implicit", "_watermark", "attributes", "draft", "entry")

    def __init__(
        self, draft: Draft, entry: Entry, *, attributes: dict[str, JsonValue], watermark: int, implicit: bool
    ) -> None:
        """Take the draft; `attributes` are loaded for metadata requests only and edited in place."""
        self.draft = draft
        self.entry = entry
        self.attributes = attributes
        self._watermark = watermark
        self._implicit = implicit

    def check(self, request: Request) -> None:
        """Pass when the request may have its effect; to be called before anything of it is applied.

        Raises:
            OperatorKeyError: it would write an attribute that only operators write.
            AttributesTooLargeError: it would leave the endpoint with too many attributes, or too large ones.
        """
        match request:
            case MetadataUpdate() | MetadataReplacement():
                self._refuse_operator_keys(request.attributes)
                edited = self._edited(request)
                metadata.check_all(len(edited), len(orjson.dumps(edited)))
            case MetadataDeletion():
                self._refuse_operator_keys(request.keys)
            case _:
                pass

    def apply(self, request: Request, at: datetime) -> None:
        """Let the request have its effect."""
        match request:
            case AppliedReport():
                self._report(request.config_id, request.status_code, request.reason_phrase, at)
            case ConfigRequest():
                self._ask(request, at)
            case ProgressReport():
                version = Version.parse(request.config_id)
                self._hear(
                    Progressed(
                        version=version, state=request.state, percent=request.percent, message=request.message, at=at
                    )
                )
            case HealthReport():
                about = None if request.config_id is None else Version.parse(request.config_id)
                self._hear(HealthReported(healthy=request.healthy, version=about, reason=request.reason, at=at))
            case ConsentAnswer():
                self._consent(request, at)
            case MetadataUpdate() | MetadataReplacement() | MetadataQuery() | MetadataKeysQuery() | MetadataDeletion():
                if not isinstance(request, MetadataQuery | MetadataKeysQuery):
                    edited = self._edited(request)
                    self.attributes.clear()
                    self.attributes.update(edited)
                    self.draft.new_attributes = orjson.dumps(edited).decode()
                    drafts.regroup(self.draft, self.entry)
                self._hear(Heard(at=at))
            case _:
                assert_never(request)

    def _report(self, config_id: str, status_code: int, reason: str | None, at: datetime) -> None:
        self._hear(Reported(version=Version.parse(config_id), status_code=status_code, reason=reason, at=at))

    def _ask(self, request: ConfigRequest, at: datetime) -> None:
        if request.config_id is not None and self._implicit:
            self._report(request.config_id, configurations.OK, None, at)
        observe = self.draft.after.observe if request.observe is None else request.observe
        if request.observe is None:
            self._hear(Heard(at=at))
        else:
            self._hear(ObserveAsked(observe=observe, at=at))

    def _consent(self, request: ConsentAnswer, at: datetime) -> None:
        self._hear(Heard(at=at))
        version = Version.parse(request.config_id)
        # What nobody can offer, or it runs, needs no consent: endpoints cannot fill the storage with such.
        if version in self.entry.catalogue.index and version != self.draft.after.running:
            self._hear(Consented(version=version, granted=request.granted, reason=request.reason_phrase, at=at))

    def _hear(self, fact: Fact) -> None:
        drafts.hear(self.draft, self.entry, fact, watermark=self._watermark, at=fact.at)

    def _edited(self, request: MetadataUpdate | MetadataReplacement | MetadataDeletion) -> dict[str, JsonValue]:
        """The attributes as the request would have them."""
        match request:
            case MetadataUpdate():
                return {**self.attributes, **request.attributes}
            case MetadataReplacement():
                kept = {key: self.attributes[key] for key in self._operator_keys() if key in self.attributes}
                return {**kept, **request.attributes}
            case MetadataDeletion():
                return {key: value for key, value in self.attributes.items() if key not in request.keys}
            case _:
                assert_never(request)

    def _operator_keys(self) -> tuple[str, ...]:
        return self.entry.application.operator_keys

    def _refuse_operator_keys(self, keys: Iterable[str]) -> None:
        for key in keys:
            if key in self._operator_keys():
                raise OperatorKeyError(key)


def answer(
    request: Request, inbound: Inbound, topic: str, draft: Draft, entry: Entry, attributes: dict[str, JsonValue]
) -> Answer | None:
    """What goes back to the endpoint on `topic`, after the commit; None where the protocol has no answer."""
    version = None
    match request:
        case ConfigRequest():
            version, payload = _configuration(request, draft, entry)
        case (
            AppliedReport()
            | ProgressReport()
            | HealthReport()
            | ConsentAnswer()
            | MetadataUpdate()
            | MetadataReplacement()
            | MetadataDeletion()
        ):
            if request.address.request_id is None and inbound.response_topic is None:
                return None
            payload = configurations.ACKNOWLEDGEMENT
        case MetadataQuery():
            wanted = attributes if request.keys is None else request.keys
            payload = metadata.encode_attributes({key: attributes[key] for key in wanted if key in attributes})
        case MetadataKeysQuery():
            payload = metadata.encode_keys(list(attributes))
        case _:
            assert_never(request)
    message = Outbound(topic=topic, payload=payload, qos=inbound.qos, correlation_data=inbound.correlation_data)
    attempt = draft.after.attempt
    started = attempt is not None and attempt.state is AttemptState.INSTALLING
    return Answer(message=message, application=entry.application.key, version=version, started=started)


def _configuration(request: ConfigRequest, draft: Draft, entry: Entry) -> tuple[Version | None, bytes]:
    attempt = draft.after.attempt
    if attempt is not None and pushes.visible(entry, attempt.version, attempt.state):
        return attempt.version, entry.offer(attempt.version)
    running = draft.after.running
    return None, configurations.nothing(request.config_id, None if running is None else running.text)
