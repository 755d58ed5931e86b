"""Bodies of requests: read strictly, each member once, with an error that names it.

Rules:
- Unknown members are refused; a type is never converted to another.
- Members of type `RawText` keep their text; the texts in all others can be stored.
- Members that people do not edit may come back as they were read, and not otherwise.

Layer: application; pure. The models also are the request schemas of the OpenAPI document.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from orchestrator.application.documents import durations, instants, merging, texts, wordings
from orchestrator.application.problems import MemberError, ReadOnlyMemberError
from orchestrator.domain.errors import DomainError
from orchestrator.domain.versions import Constraint, Version
from protocol import payloads
from protocol.errors import NumberRangeError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orchestrator.application.documents.texts import Document
    from protocol.payloads import JsonValue, Limits

Parsed = TypeVar("Parsed")

DESCRIPTION_CHARACTERS = 4096
REASON_CHARACTERS = 500
LISTED = 1000
"""How many items a list in a definition may have."""


class Refusal(ValueError):
    """A value that a validator does not take."""

    def __init__(self, reason: str, *at: str | int, code: str = "member-invalid") -> None:
        """Keep the sentence and the code; `at` leads from the value that is validated to the one that is wrong."""
        super().__init__(reason)
        self.code = code
        self.at = at


def read_text(parse: Callable[[str], Parsed], like: str = "") -> BeforeValidator:
    """Read a string member, `like` this one, by a function that raises `ValueError` or `DomainError`."""
    wanted = f"must be a string, such as '{like}'" if like else "must be a string"

    def read(value: object) -> Parsed:
        if not isinstance(value, str):
            raise Refusal(wanted, code="member-type")
        try:
            return parse(value)
        except DomainError as error:
            raise Refusal(str(error), code=error.code) from error

    return BeforeValidator(read)


def _distinct(items: list[Parsed]) -> list[Parsed]:
    if len(set(items)) != len(items):
        raise ValueError("must not hold an item twice")
    return items


RawText = Annotated[str, WithJsonSchema({"description": "Any JSON; kept and delivered as it was given."})]
RawObject = Annotated[str, WithJsonSchema({"type": "object", "description": "Kept as it was given."})]
Instant = Annotated[
    datetime,
    read_text(instants.parse, "2026-12-01T08:00:00Z"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Span = Annotated[
    timedelta, read_text(durations.parse, "PT10M"), WithJsonSchema({"type": "string", "format": "duration"})
]
SpanOrZero = Annotated[
    timedelta, read_text(durations.parse_or_zero, "PT10M"), WithJsonSchema({"type": "string", "format": "duration"})
]
"""A span that may be zero."""
# Checked here and parsed again by whoever needs the value: both keep what they parsed.
VersionText = Annotated[
    str, read_text(lambda text: Version.parse(text).text), WithJsonSchema({"type": "string", "description": "SemVer."})
]
ConstraintText = Annotated[
    str,
    read_text(lambda text: Constraint.parse(text).text),
    WithJsonSchema({"type": "string", "description": "An exact version, an npm range, or `*`."}),
]
Distinct = AfterValidator(_distinct)


class Body(BaseModel):
    """One kind of body; subclasses name its members in snake case, requests in camel case."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        strict=True,
    )

    raw: ClassVar[frozenset[str]] = frozenset()
    """Members, as requests name them, that keep their text."""

    @classmethod
    def read(cls, members: Mapping[str, str], limits: Limits, *, at: str = "") -> Self:
        """Read the members of an object, each given as its JSON text; `at` is the object's path in the body.

        Raises:
            MemberError: one of them is unknown, missing, of another type, or out of bounds.
            PayloadError: a number is too large, or a text cannot be stored.
        """
        values = {
            name: payloads.compact(text)
            if name in cls.raw
            else _storable(payloads.decode(text.encode(), limits), (*([at] if at else []), name))
            for name, text in members.items()
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise cls._refused(error, at) from None

    @classmethod
    def _refused(cls, error: ValidationError, at: str) -> MemberError:
        details = error.errors(include_url=False, include_input=False)[0]
        kind, cause = details["type"], details.get("ctx", {}).get("error")
        refusal = cause if isinstance(cause, Refusal) else None
        path = _path((*([at] if at else []), *details["loc"], *(refusal.at if refusal else ())))
        match kind:
            case "extra_forbidden":
                return MemberError(f"the member {quoted(path)} is unknown here", "member-unknown")
            case "missing":
                return MemberError(f"the member {quoted(path)} is required", "member-missing")
            case "model_type":
                return MemberError(f"{quoted(path)}: must be an object", "member-type")
            case _:
                code = "member-type" if kind.endswith("_type") else "member-invalid"
                code = refusal.code if refusal else code
                sentence = wordings.of(kind, details.get("ctx", {}), details["msg"])
                return MemberError(f"{quoted(path)}: {sentence}", code)


def _storable(value: JsonValue, loc: tuple[int | str, ...]) -> JsonValue:
    """The value itself, as `payloads.storable`; a number that is too large is named by its path."""
    try:
        return payloads.storable(value)
    except NumberRangeError as error:
        inner: Iterable[tuple[int | str, JsonValue]] = ()
        if isinstance(value, dict):
            inner = value.items()
        elif isinstance(value, list):
            inner = enumerate(value)
        for name, item in inner:
            _storable(item, (*loc, name))
        raise NumberRangeError(f"{quoted(_path(loc))}: {error}") from None


def _path(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def without_read_only(
    members: Mapping[str, str], read_only: frozenset[str], present: Document, limits: Limits
) -> dict[str, str]:
    """The members that people edit; the others must be what `present` says.

    Raises:
        ReadOnlyMemberError: one differs, or is in the body of something that does not exist yet.
        PayloadError: one of them is no value that can be read.
    """
    for name in read_only & members.keys():
        given = payloads.decode(members[name].encode(), limits)
        if name not in present or payloads.decode(texts.build(present[name]).encode(), limits) != given:
            raise ReadOnlyMemberError(name)
    return {name: text for name, text in members.items() if name not in read_only}


def patched(present: Document, patch: Mapping[str, str], read_only: frozenset[str], limits: Limits) -> dict[str, str]:
    """The members that people edit, after a merge patch of the document.

    Raises:
        ReadOnlyMemberError: the patch changes one of the others.
        PayloadError: one of them is no value that can be read.
    """
    given = without_read_only(patch, read_only, present, limits)
    editable = {name: node for name, node in present.items() if name not in read_only}
    return merging.merge(texts.build_members(editable), given, limits)
