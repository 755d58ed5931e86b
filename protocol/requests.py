"""One entry for everything that arrives on the endpoints' topics: a message becomes a request, or a refusal.

Rules:
- Our own answers and pushes, which MQTT 3.1.1 hands back to us, are told apart first and are never requests.
- A retained request is refused: it would be repeated at every connection.
- The configuration instance is another service's: its messages are refused without an answer.
- Only `RequestRefusedError` escapes, and it says on which topic, if any, the sender may be told.

Spec: 1/KP "Request/response pattern"; 7/CMP; 10/EPMP; MQTT 5.0 §4.10 (request and response).
Layer: protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from protocol import configurations, consents, health, metadata, progress, topics
from protocol.configurations import AppliedReport, ConfigRequest
from protocol.consents import ConsentAnswer
from protocol.errors import (
    MessageError,
    NotServedError,
    ResponseTopicError,
    RetainedError,
    TopicError,
    UnknownResourceError,
)
from protocol.health import HealthReport
from protocol.metadata import (
    MetadataDeletion,
    MetadataKeysQuery,
    MetadataQuery,
    MetadataReplacement,
    MetadataUpdate,
)
from protocol.payloads import DEFAULT_LIMITS
from protocol.progress import ProgressReport
from protocol.topics import Address, Instances, Kind, Resource

if TYPE_CHECKING:
    from protocol.links import Inbound
    from protocol.payloads import Limits

_DEFAULT_INSTANCES = Instances()
_MetadataResource: TypeAlias = Literal[
    Resource.UPDATE_KEYS, Resource.UPDATE, Resource.GET, Resource.GET_KEYS, Resource.DELETE_KEYS
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPush:
    """Somebody published where only we tell an endpoint something; on MQTT 3.1.1 that may be ourselves."""

    address: Address
    """Of the endpoint's config resource, or of its consent resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """An answer, ours or another's, that came back; to be ignored."""

    topic: str


Request: TypeAlias = (
    ConfigRequest
    | AppliedReport
    | ProgressReport
    | HealthReport
    | ConsentAnswer
    | MetadataUpdate
    | MetadataReplacement
    | MetadataQuery
    | MetadataKeysQuery
    | MetadataDeletion
)


class RequestRefusedError(MessageError):
    """A message is refused for `cause`; `error_topic` is where to say so, or None when nobody is to be told."""

    def __init__(self, cause: MessageError, *, address: Address | None, error_topic: str | None) -> None:
        """Take over code, status and reason of the cause."""
        super().__init__(cause.reason)
        self.cause = cause
        self.code = cause.code
        self.status_code = cause.status_code
        self.address = address
        self.error_topic = error_topic


def parse(
    inbound: Inbound, instances: Instances = _DEFAULT_INSTANCES, limits: Limits = DEFAULT_LIMITS
) -> Request | ForeignPush | Echo:
    """Read one message; pure, and its cost is linear in the message's size.

    Raises:
        RequestRefusedError: the message is none that an endpoint may send.
    """
    topic = inbound.topic
    if topics.is_ours(topic):
        pushed_at = topics.parse_push(topic, instances)
        return Echo(topic=topic) if pushed_at is None else ForeignPush(address=pushed_at)
    address = _address(topic, instances)
    try:
        if inbound.retain:
            raise RetainedError
        return _decode(address, inbound.payload, limits)
    except MessageError as error:
        raise RequestRefusedError(error, address=address, error_topic=topics.error_topic(topic)) from error


def answer_topic(inbound: Inbound, address: Address) -> str:
    """Where to answer a request: its MQTT 5 Response Topic, else its topic with `/status`.

    To be asked before the request takes effect: a refused one changes nothing.

    Raises:
        RequestRefusedError: the Response Topic lies outside the endpoint's own namespace (`topics.may_answer_on`).
    """
    if inbound.response_topic is None:
        return topics.status_topic(inbound.topic)
    if not topics.may_answer_on(inbound.response_topic, address):
        raise RequestRefusedError(
            ResponseTopicError(), address=address, error_topic=topics.error_topic(topics.build(address))
        )
    return inbound.response_topic


def _address(topic: str, instances: Instances) -> Address:
    try:
        address = topics.parse(topic, instances)
    except UnknownResourceError as error:
        if error.instance == instances.configuration:
            raise _not_served(error.instance, None) from error
        raise RequestRefusedError(error, address=None, error_topic=topics.error_topic(topic)) from error
    except TopicError as error:
        raise RequestRefusedError(error, address=None, error_topic=None) from error
    if address.kind is Kind.CONFIGURATION:
        raise _not_served(address.instance, address)
    return address


def _not_served(instance: str, address: Address | None) -> RequestRefusedError:
    return RequestRefusedError(NotServedError(instance), address=address, error_topic=None)


def _decode(address: Address, payload: bytes, limits: Limits) -> Request:
    match address.resource:
        case Resource.APPLIED:
            return configurations.decode_applied(address, payload, limits)
        case Resource.CONFIG:
            return configurations.decode_request(address, payload, limits)
        case Resource.PROGRESS:
            return progress.decode(address, payload, limits)
        case Resource.HEALTH:
            return health.decode(address, payload, limits)
        case Resource.CONSENT:
            return consents.decode(address, payload, limits)
        case _:
            return _decode_metadata(address.resource, address, payload, limits)


def _decode_metadata(resource: _MetadataResource, address: Address, payload: bytes, limits: Limits) -> Request:
    match resource:
        case Resource.UPDATE_KEYS:
            return MetadataUpdate(address=address, attributes=metadata.decode_attributes(payload, limits))
        case Resource.UPDATE:
            return MetadataReplacement(address=address, attributes=metadata.decode_attributes(payload, limits))
        case Resource.GET:
            return MetadataQuery(address=address, keys=metadata.decode_query(payload, limits))
        case Resource.GET_KEYS:
            return MetadataKeysQuery(address=address)
        case Resource.DELETE_KEYS:
            return MetadataDeletion(address=address, keys=metadata.decode_keys(payload, limits))
        case _:
            assert_never(resource)
