"""Errors of the wire.

ProtocolError
├── LinkLost (links)
├── SettingError                 a name of ours that cannot be a topic level, a limit that cannot be kept
├── EmptyOfferError              an offer without a specification was about to be rendered
└── MessageError                 a message is refused; carries `status_code`, `code` and `reason`
    ├── TopicError               topic-malformed
    │   ├── UnknownResourceError resource-unknown (404)
    │   └── UnknownCommandError  command-unknown (404; controls)
    ├── PayloadError             payload-invalid
    │   ├── PayloadTooLargeError payload-too-large (413)
    │   ├── NotUtf8Error         payload-not-utf8
    │   ├── NotJsonError         payload-not-json
    │   ├── TooDeepError         payload-too-deep
    │   ├── DuplicateMemberError member-duplicate
    │   ├── NumberRangeError     number-out-of-range
    │   ├── UnknownMemberError   member-unknown
    │   ├── MissingMemberError   member-missing
    │   ├── MemberTypeError      member-type
    │   ├── MemberRangeError     member-out-of-range
    │   ├── ConfigIdError        config-id-not-semver
    │   ├── AttributeKeyError    attribute-key-invalid
    │   ├── AttributeCountError  attribute-count
    │   ├── AttributesTooLargeError attributes-too-large (413)
    │   ├── MetricNameError      metric-name-invalid
    │   ├── MetricCountError     metric-count
    │   └── TextError            text-not-storable
    ├── RetainedError            retained
    ├── NotServedError           configuration-not-served (404)
    ├── ResponseTopicError       response-topic-refused
    ├── RetainedCommandError     command-retained (409; controls)
    ├── CommandRefusedError      any of these, with where to say so (controls)
    └── RequestRefusedError      any of the above, with the topic on which to say so

Rules:
- A reason names the member or the limit; it quotes at most 64 characters of what came in, and never a token.
- Codes are stable: metrics, REST and the command line show them.

Layer: protocol.
"""

from __future__ import annotations

_QUOTED_CHARACTERS = 64


def quoted(text: str) -> str:
    """A printable ASCII quotation of foreign text, cut after 64 characters."""
    return ascii(text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "…")


class ProtocolError(Exception):
    """Something on the wire is not as the protocol says; `code` is stable, kebab-case, and shown to users."""

    code = "protocol-error"


class SettingError(ProtocolError):
    """A setting of the wire cannot work: a name that is no topic level, names that clash, a limit out of bounds."""

    code = "wire-setting-invalid"


class EmptyOfferError(ProtocolError):
    """An offer without a specification must not be rendered: real clients flash on `statusCode` 200 alone."""

    code = "offer-empty"

    def __init__(self, version: str) -> None:
        """Name the version whose specification is absent or null."""
        super().__init__(f"{quoted(version)} has no specification to offer")
        self.version = version


class MessageError(ProtocolError):
    """A message is refused and changes nothing."""

    code = "message-refused"
    status_code = 400
    """HTTP-like status for the error answer (1/KP, error response format)."""

    def __init__(self, reason: str) -> None:
        """Keep the sentence that the sender may read."""
        super().__init__(reason)
        self.reason = reason


class TopicError(MessageError):
    """The topic is not one of 1/KP: odd, empty or overlong levels, or characters that a level cannot have."""

    code = "topic-malformed"


class UnknownResourceError(TopicError):
    """The topic is well formed, but the extension instance has no such resource."""

    code = "resource-unknown"
    status_code = 404

    def __init__(self, instance: str, resource: str) -> None:
        """Name the instance and what was asked of it."""
        super().__init__(f"instance {quoted(instance)} has no resource {quoted(resource)}")
        self.instance = instance
        self.resource = resource


class PayloadError(MessageError):
    """The payload is not what the resource takes."""

    code = "payload-invalid"


class PayloadTooLargeError(PayloadError):
    """The payload has more bytes than the limit."""

    code = "payload-too-large"
    status_code = 413

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        """Name both sizes."""
        super().__init__(f"the payload has {size_bytes} bytes, the limit is {limit_bytes}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class NotUtf8Error(PayloadError):
    """The payload is not UTF-8."""

    code = "payload-not-utf8"

    def __init__(self, position: int) -> None:
        """Name the offset of the first bad byte."""
        super().__init__(f"the payload is not UTF-8 at byte {position}")
        self.position = position


class NotJsonError(PayloadError):
    """The payload is not JSON (RFC 8259); NaN and Infinity are not either."""

    code = "payload-not-json"


class TooDeepError(PayloadError):
    """Arrays and objects are nested deeper than the limit."""

    code = "payload-too-deep"

    def __init__(self, limit: int) -> None:
        """Name the limit."""
        super().__init__(f"the payload is nested deeper than {limit} levels")
        self.limit = limit


class DuplicateMemberError(PayloadError):
    """An object has the same member twice, so that readers could disagree on what it says."""

    code = "member-duplicate"

    def __init__(self, member: str) -> None:
        """Name the member."""
        super().__init__(f"the member {quoted(member)} occurs twice in one object")
        self.member = member


class NumberRangeError(PayloadError):
    """A number is too large to be read as a value."""

    code = "number-out-of-range"


class UnknownMemberError(PayloadError):
    """The object has a member that the resource does not know."""

    code = "member-unknown"

    def __init__(self, member: str) -> None:
        """Name one such member."""
        super().__init__(f"the member {quoted(member)} is unknown here")
        self.member = member


class MissingMemberError(PayloadError):
    """The object lacks a member that the resource needs."""

    code = "member-missing"

    def __init__(self, member: str) -> None:
        """Name the member."""
        super().__init__(f"the member {quoted(member)} is required")
        self.member = member


class MemberTypeError(PayloadError):
    """A value has a JSON type that does not fit."""

    code = "member-type"

    def __init__(self, member: str, expected: str) -> None:
        """Name the member and what it has to be, as a noun with its article."""
        super().__init__(f"{member} must be {expected}")
        self.member = member


class MemberRangeError(PayloadError):
    """A value has the right type and lies outside its bounds."""

    code = "member-out-of-range"

    def __init__(self, member: str, value: str, bounds: str) -> None:
        """Name the member, its value and what it has to be."""
        super().__init__(f"{member} is {quoted(value)}, it must be {bounds}")
        self.member = member


class ConfigIdError(PayloadError):
    """A `configId` is not a strict SemVer version; known clients send foreign identifiers here."""

    code = "config-id-not-semver"

    def __init__(self, config_id: str) -> None:
        """Quote the identifier."""
        super().__init__(f"configId {quoted(config_id)} is not a SemVer 2.0.0 version of at most 128 characters")
        self.config_id = config_id


class AttributeKeyError(PayloadError):
    """A metadata key does not match `^[a-zA-Z0-9_]+$`, is longer than 64 characters, or is listed twice."""

    code = "attribute-key-invalid"

    def __init__(self, key: str, fault: str) -> None:
        """Quote the key and say what is wrong with it."""
        super().__init__(f"the metadata key {quoted(key)} {fault}")
        self.key = key


class AttributeCountError(PayloadError):
    """A metadata message has no keys, or more than one message may have."""

    code = "attribute-count"

    def __init__(self, count: int, limit: int) -> None:
        """Name the count and the limit."""
        super().__init__(f"the message has {count} metadata keys, it must have 1 to {limit}")
        self.count = count
        self.limit = limit


class AttributesTooLargeError(PayloadError):
    """An endpoint would have more attributes, or larger ones, than are kept of one."""

    code = "attributes-too-large"
    status_code = 413

    def __init__(self, amount: int, limit: int, unit: str) -> None:
        """Name the amount, the limit, and what of: `keys` or `bytes`."""
        super().__init__(f"the endpoint's attributes would have {amount} {unit}, the limit is {limit}")
        self.amount = amount
        self.limit = limit


class MetricNameError(PayloadError):
    """The name of a metric does not match `^[a-zA-Z0-9_.-]{1,64}$`."""

    code = "metric-name-invalid"

    def __init__(self, name: str) -> None:
        """Quote the name."""
        super().__init__(f"the metric's name {quoted(name)} must be 1 to 64 letters, digits, '_', '.' or '-'")
        self.name = name


class MetricCountError(PayloadError):
    """A health report has more metrics than one may have."""

    code = "metric-count"

    def __init__(self, count: int, limit: int) -> None:
        """Name the count and the limit."""
        super().__init__(f"the message has {count} metrics, it must have at most {limit}")
        self.count = count
        self.limit = limit


class TextError(PayloadError):
    """A text holds a NUL or half of a surrogate pair, which databases and UTF-8 cannot hold."""

    code = "text-not-storable"

    def __init__(self) -> None:
        """Say what texts must not hold."""
        super().__init__("texts must not hold U+0000 or unpaired surrogates")


class RetainedError(MessageError):
    """A request was retained: it would come again at every connection, long after it was true."""

    code = "retained"

    def __init__(self) -> None:
        """Say what to do instead."""
        super().__init__("requests and reports must not be retained")


class NotServedError(MessageError):
    """The configuration instance is another service's; its messages are counted and not answered."""

    code = "configuration-not-served"
    status_code = 404

    def __init__(self, instance: str) -> None:
        """Name the instance."""
        super().__init__(f"instance {quoted(instance)} is not served")
        self.instance = instance


class ResponseTopicError(MessageError):
    """A MQTT 5 Response Topic lies outside what the endpoint may be answered on."""

    code = "response-topic-refused"

    def __init__(self) -> None:
        """Say where answers may go; the topic itself holds a token and is not repeated."""
        super().__init__("the Response Topic must lie below the endpoint's own kp1/<appversion>/<instance>/<token>/")
