"""The topics of 1/KP, of what endpoints are told unasked, and of the service itself: parsing and its inverse.

Rules:
- Topics are slash-sensitive: an empty level, a further level or a trailing slash is an error, never repaired.
- A last level of one to 20 ASCII digits is the request ID, kept as it was written; 0 is one.
- What ends in `/status` or `/error` is an answer or a push, never a request.
- Pushes are what endpoints are told unasked, retained: 7/CMP's offer, and whether an update may come (`consents`).

Spec: 1/KP "Resource path format", "Request ID", "Response topic"; 7/CMP "Configuration resource";
10/EPMP "Request/response"; MQTT 5.0 §4.7.
Layer: protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from protocol.errors import SettingError, TopicError, UnknownResourceError
from protocol.values import quick

TOPIC_CHARACTERS = 512
"""Longest topic that is read or answered."""

# Besides MQTT's own characters: controls, and surrogates, which have no UTF-8 form (MQTT 5.0 §1.5.4).
_UNFIT = r"+#/\x00-\x1f\x7f-\x9f\ud800-\udfff"

NAME_CHARACTERS = 64
"""Longest name of an application, of a version of it, of an endpoint, and longest token."""
TOKEN = re.compile(rf"[^.{_UNFIT}]{{1,{NAME_CHARACTERS}}}")
"""Names an endpoint in topics; to be used with `fullmatch`, as all patterns here."""
APPLICATION = re.compile(rf"[a-z0-9_-]{{1,{NAME_CHARACTERS}}}")
APP_VERSION = re.compile(rf"[^{_UNFIT}]{{1,{NAME_CHARACTERS}}}")
ENDPOINT_ID = re.compile(rf"[a-zA-Z0-9._~-]{{1,{NAME_CHARACTERS}}}")
_LEVEL = APP_VERSION
_LEVELS = 5
"""The prefix, three names, and everything below the token."""
_REST = re.compile(rf"[^{_UNFIT}]+(?:/[^{_UNFIT}]+)*+")
_REQUEST_DIGITS = 20
_REQUEST_ID = re.compile(rf"[0-9]{{1,{_REQUEST_DIGITS}}}")

_STATUS = "/status"
_ERROR = "/error"


class Kind(StrEnum):
    """What an extension instance is for."""

    SOFTWARE = "software"
    CONFIGURATION = "configuration"
    METADATA = "metadata"


class Resource(StrEnum):
    """A resource path below the token, without request ID."""

    CONFIG = "config/json"
    APPLIED = "applied/json"
    PROGRESS = "progress/json"
    HEALTH = "health/json"
    CONSENT = "consent/json"
    UPDATE_KEYS = "update/keys"
    UPDATE = "update"
    GET = "get"
    GET_KEYS = "get/keys"
    DELETE_KEYS = "delete/keys"


_PATHS = frozenset(str(resource) for resource in Resource)
_MANAGED = {str(resource): resource for resource in (Resource.CONFIG, Resource.APPLIED)}
_SOFTWARE = _MANAGED | {str(resource): resource for resource in (Resource.PROGRESS, Resource.HEALTH, Resource.CONSENT)}
_RESOURCES = {
    Kind.SOFTWARE: _SOFTWARE,
    Kind.CONFIGURATION: _MANAGED,
    Kind.METADATA: {str(resource): resource for resource in Resource if str(resource) not in _SOFTWARE},
}
_PUSHED = frozenset({Resource.CONFIG, Resource.CONSENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instances:
    """The names of the three extension instances, the third level of every topic; they differ from each other.

    Raises:
        SettingError: a name is no topic level, or two are the same.
    """

    software: str = "cmx_ota"
    configuration: str = "cmx"
    metadata: str = "epmx"

    def __post_init__(self) -> None:
        """Check the names once, so that parsing need not."""
        names = (self.software, self.configuration, self.metadata)
        if len(set(names)) != len(names):
            raise SettingError(f"the extension instances need three different names, not {', '.join(names)}")
        for name in names:
            if not _LEVEL.fullmatch(name):
                raise SettingError(f"{name!a} cannot be the name of an extension instance")


@quick(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a request was sent: who asks, and what for."""

    app_version: str
    kind: Kind
    instance: str
    token: str
    resource: Resource
    request_id: str | None = None
    """One to 20 digits as they were written, leading zeros included."""


def parse(topic: str, instances: Instances) -> Address:
    """Read the topic of a request; the inverse of `build`.

    Raises:
        TopicError: the topic is not one of 1/KP, or belongs to no instance of ours.
        UnknownResourceError: it is well formed, and the instance has no such resource.
    """
    levels = topic.split("/", 4)
    if len(levels) != _LEVELS or levels[0] != "kp1" or len(topic) > TOPIC_CHARACTERS:
        raise TopicError("the topic must be kp1/<appversion>/<instance>/<token>/<resource>")
    _, app_version, instance, token, rest = levels
    kind = _kind(instance, instances)
    if not APP_VERSION.fullmatch(app_version) or not TOKEN.fullmatch(token):
        raise TopicError("the application version or the token in the topic is no legal one")
    path, slash, last = rest.rpartition("/")
    if slash and _REQUEST_ID.fullmatch(last):
        request_id: str | None = last
    else:
        path, request_id = rest, None
    resource = _RESOURCES[kind].get(path)
    if resource is None:
        if not _REST.fullmatch(rest):
            raise TopicError("the topic has an empty level, or one with characters that topics cannot have")
        raise UnknownResourceError(instance, rest)
    return Address(
        app_version=app_version, kind=kind, instance=instance, token=token, resource=resource, request_id=request_id
    )


def _kind(instance: str, instances: Instances) -> Kind:
    if instance == instances.software:
        return Kind.SOFTWARE
    if instance == instances.metadata:
        return Kind.METADATA
    if instance == instances.configuration:
        return Kind.CONFIGURATION
    raise TopicError("the topic names no extension instance of this service")


def build(address: Address) -> str:
    """The topic of a request; the inverse of `parse`."""
    topic = f"kp1/{address.app_version}/{address.instance}/{address.token}/{address.resource}"
    return topic if address.request_id is None else f"{topic}/{address.request_id}"


def status_topic(topic: str) -> str:
    """Where a request that was sent to `topic` is answered (1/KP "Response topic")."""
    return topic + _STATUS


def error_topic(topic: str) -> str:
    """Where a request that was sent to `topic` is refused."""
    return topic + _ERROR


def push_topic(instances: Instances, app_version: str, token: str) -> str:
    """Where the offer of one endpoint is published, retained."""
    return f"kp1/{app_version}/{instances.software}/{token}/{Resource.CONFIG}{_STATUS}"


def longest_offer(instances: Instances, app_version: str, token: str) -> str:
    """The longest topic on which an offer is published: that of an answer to a request ID of 20 digits."""
    return f"kp1/{app_version}/{instances.software}/{token}/{Resource.CONFIG}/{'9' * _REQUEST_DIGITS}{_STATUS}"


def consent_topic(instances: Instances, app_version: str, token: str) -> str:
    """Where one endpoint is asked for its consent, retained."""
    return f"kp1/{app_version}/{instances.software}/{token}/{Resource.CONSENT}{_STATUS}"


def is_ours(topic: str) -> bool:
    """Whether the topic is one that only answers and pushes have: on MQTT 3.1.1 our own publishes come back."""
    return topic.endswith((_STATUS, _ERROR))


def parse_push(topic: str, instances: Instances) -> Address | None:
    """The endpoint that is told something here, as the address of its config or consent resource; None elsewhere.

    The inverse of `push_topic` and `consent_topic`.
    """
    if not topic.endswith(_STATUS):
        return None
    try:
        address = parse(topic.removesuffix(_STATUS), instances)
    except TopicError:
        return None
    pushed = address.kind is Kind.SOFTWARE and address.resource in _PUSHED and address.request_id is None
    return address if pushed else None


def may_answer_on(response_topic: str, address: Address) -> bool:
    """Whether an endpoint that asked at `address` may name this MQTT 5 Response Topic.

    It has to lie below `kp1/<appversion>/<anything>/<token>/` with the endpoint's own application version and
    token, for a token is unique in one application only; and it must not be a request's, or the answer would
    speak in the endpoint's name.
    """
    levels = response_topic.split("/", 4)
    if len(levels) != _LEVELS or len(response_topic) > TOPIC_CHARACTERS:
        return False
    prefix, app_version, instance, token, rest = levels
    if (prefix, app_version, token) != ("kp1", address.app_version, address.token):
        return False
    if not _LEVEL.fullmatch(instance) or not _REST.fullmatch(rest):
        return False
    path, slash, last = rest.rpartition("/")
    asked = path if slash and _REQUEST_ID.fullmatch(last) else rest
    return asked not in _PATHS


def subscriptions(instances: Instances, app_version: str = "+") -> list[str]:
    """The topic filters that hold every request, or every one to an application version, one for each instance.

    They hold our own answers too.
    """
    names = (instances.software, instances.configuration, instances.metadata)
    return [f"kp1/{app_version}/{name}/+/#" for name in names]


def request_filters(instances: Instances, app_version: str, token: str) -> dict[Kind, list[str]]:
    """The topic filters of every request of one endpoint, without and with request ID, by what its instance is for.

    A filter with a request ID also holds the answers to the request without one.
    """
    names = {
        Kind.SOFTWARE: instances.software,
        Kind.CONFIGURATION: instances.configuration,
        Kind.METADATA: instances.metadata,
    }
    return {
        kind: [f"kp1/{app_version}/{name}/{token}/{path}{last}" for path in _RESOURCES[kind] for last in ("", "/+")]
        for kind, name in names.items()
    }


def marker_topic(partition: str) -> str:
    """Where the service publishes to itself, to learn that everything before has arrived.

    Raises:
        SettingError: the partition's name is no topic level.
    """
    return _partition_topic(partition, "marker")


def sentinel_topic(partition: str) -> str:
    """Where the service retains up to which push revision the broker has all.

    Raises:
        SettingError: the partition's name is no topic level.
    """
    return _partition_topic(partition, "sentinel")


def probe_topic(partition: str) -> str:
    """Where the service publishes to see how long that takes, and whether it may.

    Raises:
        SettingError: the partition's name is no topic level.
    """
    return _partition_topic(partition, "probe")


def _partition_topic(partition: str, purpose: str) -> str:
    if not _LEVEL.fullmatch(partition):
        raise SettingError(f"{partition!a} cannot be the name of a partition")
    return f"otao/v1/partition/{partition}/{purpose}"
