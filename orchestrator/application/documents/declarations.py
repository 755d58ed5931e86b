"""A catalogue as a whole: what an application, its filters and its software shall be.

Rules:
- What it names is written as a PUT would write it; what it does not name is left alone, members of the application too.
- An error names the member by its path in the catalogue, such as `software[1].upgradableFrom[0]`.

Layer: application; pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from orchestrator.application.documents import applications, software, texts
from orchestrator.application.documents.applications import ApplicationBody
from orchestrator.application.documents.bodies import LISTED, VersionText
from orchestrator.application.documents.filters import FILTER_ID, FilterBody
from orchestrator.application.documents.software import SoftwareBody
from orchestrator.application.problems import MemberError, PlacedError
from orchestrator.domain.errors import DomainError
from orchestrator.domain.filters import Filter
from orchestrator.domain.versions import Version
from protocol import payloads
from protocol.errors import PayloadError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.application.documents.software import Definition
    from orchestrator.application.records import Application
    from protocol.payloads import Limits

_ANY_NAME = '["declared"]'
_UNEDITED = applications.READ_ONLY | applications.VOLATILE


class DeclaredSoftwareBody(SoftwareBody):
    """A software in a catalogue."""

    version: VersionText


class CatalogueBody(ApplicationBody):
    """What operators say of an application as a whole; what is left out stays as it is.

    `appVersions` is needed when the application is new. A filter may be given by its expression alone.
    """

    raw: ClassVar[frozenset[str]] = frozenset({"filters", "software"})

    filters: Annotated[dict[str, str | FilterBody], Field(max_length=LISTED)] = Field(default_factory=dict)
    software: Annotated[list[DeclaredSoftwareBody], Field(max_length=LISTED)] = Field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFilter:
    """A filter that shall be."""

    filter: Filter
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSoftware:
    """A software that shall be."""

    at: str
    """Where it is declared."""
    version: Version
    definition: Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What shall be."""

    settings: Mapping[str, str] | None
    """Members of the application as JSON texts; None: nothing is said of it."""
    limits: Limits
    filters: tuple[DeclaredFilter, ...] = ()
    software: tuple[DeclaredSoftware, ...] = ()

    def application(self, present: Application | None) -> ApplicationBody:
        """What the application shall be, given what it is.

        Raises:
            MemberError: it is new, and its application versions are not said.
        """
        kept = {} if present is None else texts.build_members(applications.build(present))
        editable = {name: text for name, text in kept.items() if name not in _UNEDITED}
        return ApplicationBody.read({**editable, **(self.settings or {})}, self.limits)


def read(members: Mapping[str, str], limits: Limits) -> Declaration:
    """The declaration that the members of a catalogue make, each as its JSON text.

    Raises:
        MemberError: a member is unknown, missing, of another type, or out of bounds.
        PayloadError: a number is too large, or a text cannot be stored.
    """
    settings = {name: text for name, text in members.items() if name not in CatalogueBody.raw}
    ApplicationBody.read({"appVersions": _ANY_NAME, **settings}, limits)
    declared = tuple(
        _software(f"software[{place}]", text, limits)
        for place, text in enumerate(_items(members.get("software", "[]"), limits))
    )
    _check_distinct(declared)
    return Declaration(
        settings=settings,
        limits=limits,
        filters=tuple(_filters(members.get("filters", "{}"), limits)),
        software=declared,
    )


def read_software(text: str, limits: Limits) -> Declaration:
    """The declaration of one software, with its version, and of nothing else.

    Raises:
        MemberError: a member is unknown, missing, of another type, or out of bounds.
        PayloadError: a number is too large, or a text cannot be stored.
    """
    return Declaration(settings=None, limits=limits, software=(_software("software", text, limits),))


def _items(text: str, limits: Limits) -> list[str]:
    if not text.startswith("["):
        raise MemberError("'software': must be a list", "member-type")
    found = payloads.items(text, limits)
    if len(found) > LISTED:
        raise MemberError(f"'software': must not have more than {LISTED} items")
    return found


def _software(at: str, text: str, limits: Limits) -> DeclaredSoftware:
    if not text.startswith("{"):
        raise MemberError(f"'{at}': must be an object", "member-type")
    members = payloads.members(text, limits)
    version = _version(f"{at}.version", members.pop("version", None), limits)
    try:
        return DeclaredSoftware(at=at, version=version, definition=software.read(members, limits, at=at))
    except PayloadError as error:
        raise PlacedError(at, error.code, MemberError.status_code, error.reason) from error


def _version(at: str, text: str | None, limits: Limits) -> Version:
    if text is None:
        raise MemberError(f"the member '{at}' is required", "member-missing")
    value = payloads.decode(text.encode(), limits)
    if not isinstance(value, str):
        raise MemberError(f"'{at}': must be a string", "member-type")
    try:
        return Version.parse(value)
    except DomainError as error:
        raise MemberError(f"'{at}': {error}", error.code) from error


def _check_distinct(declared: tuple[DeclaredSoftware, ...]) -> None:
    seen: dict[Version, DeclaredSoftware] = {}
    for item in declared:
        earlier = seen.setdefault(item.version, item)
        if earlier is not item:
            raise MemberError(f"'{item.at}.version': {earlier.at} has the version {earlier.version} already")


def _filters(text: str, limits: Limits) -> Iterator[DeclaredFilter]:
    if not text.startswith("{"):
        raise MemberError("'filters': must be an object", "member-type")
    members = payloads.members(text, limits)
    if len(members) > LISTED:
        raise MemberError(f"'filters': must not have more than {LISTED} members")
    for filter_id, given in members.items():
        if not re.fullmatch(FILTER_ID, filter_id):
            reason = f"'filters': {quoted(filter_id)} is no filterId: 1 to 64 letters, digits, _ and -"
            raise MemberError(reason, "filter-id-invalid")
        yield _filter(filter_id, given, limits)


def _filter(filter_id: str, given: str, limits: Limits) -> DeclaredFilter:
    at = f"filters.{filter_id}"
    if given.startswith("{"):
        body = FilterBody.read(payloads.members(given, limits), limits, at=at)
    else:
        body = FilterBody.read({"expression": given}, limits, at=at)
    item = Filter(filter_id=filter_id, expression=body.expression)
    return DeclaredFilter(filter=item, description=body.description)
