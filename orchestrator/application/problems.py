"""Why an operator's request is refused.

RequestError
├── NotFoundError                404  application-not-found, software-not-found, filter-not-found, endpoint-not-found
├── MemberError                  422  member-unknown, member-missing, member-type, member-invalid, codes of the domain
│   ├── ReadOnlyMemberError      422  member-read-only
│   ├── FilterUnknownError       422  filter-unknown
│   └── AppVersionUnknownError   422  app-version-unknown
├── PlacedError                       status and code of what is wrong at a place of a larger body
├── ConflictError                409
│   ├── ApplicationInUseError         application-in-use
│   ├── AppVersionInUseError          app-version-in-use
│   ├── FilterInUseError              filter-in-use
│   ├── SoftwareRecalledError         software-recalled
│   ├── SoftwareSuspendedError        rollout-state
│   ├── StageNotBegunError            rollout-state
│   ├── SpecificationFrozenError      specification-frozen
│   └── TokenTakenError               token-taken
├── PreconditionFailedError      412  precondition-failed
└── PreconditionRequiredError    428  precondition-required

Rules:
- A sentence names the value and the limit; it never quotes a specification.
- Codes are stable. `status_code` is HTTP's, which 1/KP uses too.

Layer: application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from protocol.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.domain.versions import Version

Kind = Literal["application", "software", "filter", "endpoint"]


class RequestError(Exception):
    """An operator's request is refused and changes nothing."""

    code = "request-invalid"
    status_code = 400


class NotFoundError(RequestError):
    """What the request names does not exist."""

    status_code = 404

    def __init__(self, kind: Kind, name: str) -> None:
        """Name it."""
        super().__init__(f"there is no {kind} {quoted(name)}")
        self.code = f"{kind}-not-found"


class MemberError(RequestError):
    """A member of the body is not what it has to be."""

    code = "member-invalid"
    status_code = 422

    def __init__(self, reason: str, code: str = "member-invalid") -> None:
        """Keep the sentence and the code."""
        super().__init__(reason)
        self.code = code


class ReadOnlyMemberError(MemberError):
    """A member that people do not edit differs from what it is."""

    def __init__(self, member: str) -> None:
        """Name the member."""
        super().__init__(f"the member {quoted(member)} cannot be changed here", "member-read-only")


class FilterUnknownError(MemberError):
    """A software or a query names a filter that does not exist."""

    def __init__(self, filter_id: str, at: str = "") -> None:
        """Name it; `at` is the path of the member that names it, where a body does."""
        place = f"{quoted(at)}: " if at else ""
        super().__init__(f"{place}there is no filter {quoted(filter_id)}", "filter-unknown")


class AppVersionUnknownError(MemberError):
    """An endpoint was to get an application version that its application does not have."""

    def __init__(self, name: str | None, present: Iterable[str]) -> None:
        """Name it, or say that one has to be named, and those that there are."""
        reason = "appVersion is required" if name is None else f"the application has no version {quoted(name)}"
        super().__init__(f"{reason}; it has {', '.join(present)}", "app-version-unknown")


class PlacedError(RequestError):
    """One part of a larger body is refused, and with it the whole."""

    def __init__(self, path: str, code: str, status_code: int, reason: str) -> None:
        """Name the part by its path, and keep why it is refused."""
        super().__init__(f"'{path}': {reason}")
        self.path = path
        self.code = code
        self.status_code = status_code


class ConflictError(RequestError):
    """What is stored does not allow it."""

    code = "conflict"
    status_code = 409


class ApplicationInUseError(ConflictError):
    """An application with endpoints was to be deleted."""

    code = "application-in-use"

    def __init__(self, name: str, endpoints: int) -> None:
        """Name it and say how many."""
        super().__init__(f"the application {name} has {endpoints} endpoints; delete them first")


class AppVersionInUseError(ConflictError):
    """An application version that endpoints have was to be removed."""

    code = "app-version-in-use"

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(f"endpoints have the application version {name}")


class FilterInUseError(ConflictError):
    """A filter that software lists was to be deleted."""

    code = "filter-in-use"

    def __init__(self, filter_id: str, software: Iterable[Version]) -> None:
        """Name it and who lists it."""
        super().__init__(f"the filter {filter_id} is listed by {', '.join(version.text for version in software)}")


class SoftwareRecalledError(ConflictError):
    """A software that was recalled was to be deleted, or its rollout to be moved."""

    code = "software-recalled"

    def __init__(self, version: Version) -> None:
        """Name it."""
        super().__init__(
            f"{version} was recalled, which is final: it stays defined, so that endpoints are moved off it"
        )


class SoftwareSuspendedError(ConflictError):
    """The rollout of a software that is suspended was to be moved, but for its abort."""

    code = "rollout-state"

    def __init__(self, version: Version) -> None:
        """Name it and the way out."""
        super().__init__(
            f"{version} is suspended, so that its rollout offers it to nobody: "
            "set rolloutStrategy to general or targeted first"
        )


class StageNotBegunError(ConflictError):
    """A stage was to be left that has not begun."""

    code = "rollout-state"

    def __init__(self, stage: int, present: int) -> None:
        """Name both, as people count them; they are numbered from 0."""
        super().__init__(f"stage {stage + 1} has not begun: the rollout is in stage {present + 1}")


class SpecificationFrozenError(ConflictError):
    """The specification of a software that was offered was to be changed."""

    code = "specification-frozen"

    def __init__(self, version: Version) -> None:
        """Name the software and the way out."""
        super().__init__(
            f"{version} was offered to endpoints, so that its specification cannot change: "
            "recall it and publish a new version"
        )


class TokenTakenError(ConflictError):
    """Another endpoint of the application has the token."""

    code = "token-taken"

    def __init__(self, owner: str) -> None:
        """Name the owner; the token is in the request."""
        super().__init__(f"the endpoint {owner} has this token")


class PreconditionFailedError(RequestError):
    """The resource is not, or not any more, as the request requires."""

    code = "precondition-failed"
    status_code = 412


class PreconditionRequiredError(RequestError):
    """What exists is changed only by those who say which state of it they have seen."""

    code = "precondition-required"
    status_code = 428

    def __init__(self) -> None:
        """Say what to send."""
        super().__init__("it exists: send its ETag in If-Match, or If-Match: * to change it whatever it is")
