"""The operators' control topic: commands, their answers, and what the service tells operators beside.

    otao/v1/<application>/control/<command>[/<requestId>]            a command
    otao/v1/<application>/control/<command>[/<requestId>]/status     its answer
    otao/v1/<application>/control/<command>[/<requestId>]/error      its refusal
    otao/v1/<application>/events/<type>                              an event
    otao/v1/<application>/summary                                    the numbers, retained
    otao/v1/service/<replica>                                        whether the service is there, retained

Rules:
- A last level of one to 20 digits is the request ID, kept as it was written; 0 is one.
- A command is a JSON object; an empty payload counts as `{}` for commands that only read, so that who clears a retained
  message does not command anything.
- A retained command is refused: it would run again at every connection. Clearing one is no command.
- Where no Response Topic is given, the answer's topic follows from the command's. One that is given must not lie where
  devices, commands or the service itself speak.

Spec: docs/reference/mqtt-api.md, "Operators"; MQTT 5.0 §4.10 (request and response).
Layer: protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from protocol import fields, payloads, topics
from protocol.errors import MessageError, ResponseTopicError, SettingError, TopicError, quoted
from protocol.links import Outbound
from protocol.payloads import DEFAULT_LIMITS

if TYPE_CHECKING:
    from protocol.links import Inbound
    from protocol.payloads import JsonValue, Limits

SUBSCRIPTION = "otao/v1/+/control/#"
"""Holds every command; it holds our own answers too."""

_PREFIX = "otao/v1/"
_REQUEST_ID = re.compile(r"[0-9]{1,20}")
_WITH_REQUEST_ID = 2
_CONTROL = re.compile(r"otao/v1/(?P<application>[^/]*)/control/(?P<rest>.+)")
_RESPONSE_TOPIC = re.compile(r"[^+#\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_REPLICA = topics.APP_VERSION
_TYPE = re.compile(r"[a-z]+(?:\.[a-z]+)*")


class Command(StrEnum):
    """What operators may ask for."""

    SOFTWARE_LIST = "software.list"
    SOFTWARE_GET = "software.get"
    SOFTWARE_PUT = "software.put"
    SOFTWARE_DELETE = "software.delete"
    SOFTWARE_RECALL = "software.recall"
    ENDPOINT_GET = "endpoint.get"
    ENDPOINT_EXPLAIN = "endpoint.explain"
    ENDPOINT_RETRY = "endpoint.retry"
    FLEET_SUMMARY = "fleet.summary"
    PLAN = "plan"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    ROLLOUT_GET = "rollout.get"
    ROLLOUT_PAUSE = "rollout.pause"
    ROLLOUT_RESUME = "rollout.resume"
    ROLLOUT_ABORT = "rollout.abort"
    ROLLOUT_APPROVE = "rollout.approve"


READING = frozenset(
    {
        Command.SOFTWARE_LIST,
        Command.SOFTWARE_GET,
        Command.ENDPOINT_GET,
        Command.ENDPOINT_EXPLAIN,
        Command.FLEET_SUMMARY,
        Command.PLAN,
        Command.ROLLOUT_GET,
    }
)
"""Commands that change nothing."""


class UnknownCommandError(TopicError):
    """There is no such command."""

    code = "command-unknown"
    status_code = 404

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(f"there is no command {quoted(name)}")


class RetainedCommandError(MessageError):
    """A command was retained."""

    code = "command-retained"
    status_code = 409

    def __init__(self) -> None:
        """Say why that is refused."""
        super().__init__("a command must not be retained: it would run again at every connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlAddress:
    """Where a command was sent: to which application, and what it asks for."""

    application: str
    """As it stands in the topic; there may be none of this name."""
    command: Command
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRequest:
    """A command that can be executed."""

    address: ControlAddress
    members: dict[str, str]
    """Of its payload, each as JSON text."""
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Where and how a command is answered."""

    status_topic: str
    error_topic: str
    qos: int
    correlation_data: bytes | None

    def status(self, payload: bytes) -> Outbound:
        """The answer."""
        return self._outbound(self.status_topic, payload)

    def error(self, status_code: int, code: str, reason: str) -> Outbound:
        """The refusal."""
        return self._outbound(self.error_topic, error(status_code, code, reason))

    def _outbound(self, topic: str, payload: bytes) -> Outbound:
        return Outbound(topic=topic, payload=payload, qos=self.qos, correlation_data=self.correlation_data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlError:
    """What an operator reads when a command was refused."""

    status_code: int
    code: str
    reason_phrase: str


class CommandRefusedError(MessageError):
    """A command is refused for `cause`; `reply` is where to say so, None where nobody is told."""

    def __init__(self, cause: MessageError, reply: Reply | None) -> None:
        """Take over code, status and reason of the cause."""
        super().__init__(cause.reason)
        self.cause = cause
        self.code = cause.code
        self.status_code = cause.status_code
        self.reply = reply


def parse(topic: str) -> ControlAddress:
    """Read the topic of a command; the inverse of `build`.

    Raises:
        TopicError: it is not one of a command.
        UnknownCommandError: it is well formed, and there is no such command.
    """
    match = _CONTROL.fullmatch(topic)
    if match is None or not topics.APPLICATION.fullmatch(match["application"]) or len(topic) > topics.TOPIC_CHARACTERS:
        raise TopicError("the topic must be otao/v1/<application>/control/<command>")
    levels = match["rest"].split("/")
    request_id = levels[1] if len(levels) == _WITH_REQUEST_ID else None
    if len(levels) > _WITH_REQUEST_ID or (request_id is not None and not _REQUEST_ID.fullmatch(request_id)):
        raise TopicError("after the command there is a request ID of 1 to 20 digits, or nothing")
    try:
        command = Command(levels[0])
    except ValueError as error:
        raise UnknownCommandError(levels[0]) from error
    return ControlAddress(application=match["application"], command=command, request_id=request_id)


def application_in(topic: str) -> str | None:
    """The application that a topic of the control topic names, whatever else is wrong with it; None: it names none."""
    match = _CONTROL.fullmatch(topic)
    return match["application"] if match is not None and topics.APPLICATION.fullmatch(match["application"]) else None


def build(address: ControlAddress) -> str:
    """The topic of a command; the inverse of `parse`."""
    topic = f"{_PREFIX}{address.application}/control/{address.command}"
    return topic if address.request_id is None else f"{topic}/{address.request_id}"


def is_command(inbound: Inbound) -> bool:
    """Whether a message on the control topic is to be answered: it is no answer, and no retained message cleared."""
    return not topics.is_ours(inbound.topic) and bool(inbound.payload or not inbound.retain)


def read(inbound: Inbound, limits: Limits = DEFAULT_LIMITS) -> ControlRequest | None:
    """Read one message on the control topic; None: it is no command, but an answer, or a retained message cleared.

    Raises:
        CommandRefusedError: it is none that can be executed.
    """
    topic = inbound.topic
    if not is_command(inbound):
        return None
    reply = Reply(
        status_topic=topics.status_topic(topic),
        error_topic=topics.error_topic(topic),
        qos=inbound.qos,
        correlation_data=inbound.correlation_data,
    )
    try:
        reply = _answered_on(inbound.response_topic, reply)
        if inbound.retain:
            raise RetainedCommandError
        address = parse(topic)
        payload = inbound.payload or (b"{}" if address.command in READING else b"")
        return ControlRequest(address=address, members=payloads.members(payload, limits), reply=reply)
    except MessageError as error:
        # A topic that is too long for a command is too long for an answer.
        raise CommandRefusedError(error, reply if len(topic) <= topics.TOPIC_CHARACTERS else None) from error


def _answered_on(response_topic: str | None, reply: Reply) -> Reply:
    if response_topic is None:
        return reply
    if not may_answer_on(response_topic):
        raise ResponseTopicError
    return Reply(
        status_topic=response_topic,
        error_topic=response_topic,
        qos=reply.qos,
        correlation_data=reply.correlation_data,
    )


def may_answer_on(response_topic: str) -> bool:
    """Whether an operator may name this MQTT 5 Response Topic.

    Not where devices speak and are spoken to (`kp1/`), not where brokers do (`$`), and below `otao/` only on
    `otao/v1/<application>/replies/…`: everything else there is a command, an event, or the service's own.
    """
    if len(response_topic) > topics.TOPIC_CHARACTERS or not _RESPONSE_TOPIC.fullmatch(response_topic):
        return False
    first, _, below = response_topic.partition("/")
    if first != "otao":
        return first != "kp1" and not first.startswith("$")
    levels = below.split("/")
    return levels[0] == "v1" and levels[2:3] == ["replies"] and all(levels[1:]) and levels[3:] != []


def error(status_code: int, code: str, reason: str) -> bytes:
    """A refusal; the phrase is cut after 500 characters and made printable. The inverse of `decode_error`."""
    members: dict[str, JsonValue] = {"statusCode": status_code, "reasonPhrase": fields.printable(reason), "code": code}
    return payloads.encode(members)


def decode_error(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> ControlError:
    """Read a refusal.

    Raises:
        PayloadError: it is none.
    """
    members = payloads.decode_object(payload, limits)
    fields.refuse_unknown(members, frozenset({"statusCode", "reasonPhrase", "code"}))
    status_code = fields.whole_number(members, "statusCode", 100, 599)
    phrase, code = fields.phrase(members, "reasonPhrase"), fields.phrase(members, "code")
    return ControlError(status_code=status_code or 0, code=code or "", reason_phrase=phrase or "")


def event_topic(application: str, kind: str) -> str:
    """Where an event of this type is told.

    Raises:
        SettingError: the application or the type is no topic level of ours.
    """
    if not topics.APPLICATION.fullmatch(application) or not _TYPE.fullmatch(kind):
        raise SettingError(f"{application!a} has no events of type {kind!a}")
    return f"{_PREFIX}{application}/events/{kind}"


def summary_topic(application: str) -> str:
    """Where the numbers of an application are retained."""
    return f"{_PREFIX}{application}/summary"


def subscription(application: str) -> str:
    """The topic filter that holds every command to an application; it holds our own answers too."""
    return f"{_PREFIX}{application}/control/#"


def presence_topic(replica: str) -> str:
    """Where it is retained whether a service is there.

    Raises:
        SettingError: the name of the replica is no topic level.
    """
    if not _REPLICA.fullmatch(replica):
        raise SettingError(f"{replica!a} cannot be the name of a replica")
    return f"{_PREFIX}service/{replica}"


def probe_topic(partition: str) -> str:
    """Where the service publishes to see whether it may, and may read: the answer to a command of no application."""
    return topics.status_topic(f"{_PREFIX}otao.doctor/control/{partition}")


def presence(replica: str, status: str, since: str | None, version: str) -> bytes:
    """What is retained there; `since` is RFC 3339, None when nobody can know: the broker says `offline` for us then."""
    members: dict[str, JsonValue] = {"replica": replica, "status": status, "since": since, "version": version}
    return payloads.encode(members)
