"""Software versions, and the constraints by which software names the versions it installs over.

Rules:
- A version is strict SemVer 2.0.0, of at most `MAX_VERSION_CHARS` characters.
- Equality, hash and order follow precedence alone: build metadata never takes part.
- A constraint is an exact version, an npm range, or `*`, the only one that an unknown running version matches.

Spec: SemVer 2.0.0 §2, §9-§11. The npm ranges are in `ranges`.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import semver

from orchestrator.domain import ranges
from orchestrator.domain.errors import DomainError

if TYPE_CHECKING:
    from orchestrator.domain.ranges import Key, Range

MAX_VERSION_CHARS = 128
MAX_CONSTRAINT_CHARS = 512
ANY = "*"


class InvalidVersion(DomainError):
    """A text is no strict SemVer 2.0.0 version."""

    code = "invalid-version"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:MAX_VERSION_CHARS]!r} is not a SemVer 2.0.0 version of at most {MAX_VERSION_CHARS} characters"
        )
        self.text = text


class InvalidConstraint(DomainError):
    """A text is neither a version, nor an npm range, nor `*`."""

    code = "invalid-constraint"

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text[:MAX_CONSTRAINT_CHARS]!r} is neither a version, an npm range, nor '*': {reason}")
        self.text = text
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Version:
    """One SemVer version, compared by precedence; make it with `Version.parse`."""

    text: str
    """As it was given, build metadata included."""
    key: Key
    """Sorts as the versions do; equal for versions that differ in build metadata only."""
    digest: int
    """The hash of `key`, computed once: versions are dictionary keys on the hot path."""

    @staticmethod
    def parse(text: str) -> Version:
        """Parse strictly; repeated texts cost one lookup in a bounded cache.

        Raises:
            InvalidVersion: `text` is longer than `MAX_VERSION_CHARS` or no SemVer 2.0.0 version.
        """
        if len(text) > MAX_VERSION_CHARS:
            raise InvalidVersion(text)
        return _parse_version(text)

    def identical(self, other: Version) -> bool:
        """Whether both are written the same, build metadata included."""
        return self.text == other.text

    def __eq__(self, other: object) -> bool:
        """Compare by precedence (SemVer §10, §11)."""
        return self is other or (isinstance(other, Version) and self.key == other.key)

    def __hash__(self) -> int:
        """Agree with `==`."""
        return self.digest

    def __lt__(self, other: Version) -> bool:
        """Compare by precedence."""
        return self.key < other.key

    def __le__(self, other: Version) -> bool:
        """Compare by precedence."""
        return self.key <= other.key

    def __gt__(self, other: Version) -> bool:
        """Compare by precedence."""
        return self.key > other.key

    def __ge__(self, other: Version) -> bool:
        """Compare by precedence."""
        return self.key >= other.key

    def __str__(self) -> str:
        """Return the text as it was given."""
        return self.text

    def __repr__(self) -> str:
        """Return a form that is short in test reports."""
        return f"<{self.text}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One item of `upgradableFrom`; make it with `Constraint.parse`."""

    text: str
    """As it was given."""
    span: Range | None = field(compare=False)
    """What it matches; None for `*`."""

    @staticmethod
    def parse(text: str) -> Constraint:
        """Parse an exact version, an npm range or `*`; build metadata in it is ignored.

        Raises:
            InvalidConstraint: `text` is blank, longer than `MAX_CONSTRAINT_CHARS`, or none of the three.
        """
        if len(text) > MAX_CONSTRAINT_CHARS:
            raise InvalidConstraint(text, f"longer than {MAX_CONSTRAINT_CHARS} characters")
        return _parse_constraint(text)

    @property
    def is_any(self) -> bool:
        """Whether this is `*`, which matches every version, prereleases too, and the unknown one."""
        return self.span is None

    def matches(self, version: Version | None) -> bool:
        """Whether software with this constraint may be installed over `version`; None is an unknown one."""
        if self.span is None:
            return True
        return version is not None and self.span.contains(version.key)


@lru_cache(maxsize=16384)
def _parse_version(text: str) -> Version:
    # semver's own pattern takes digits of any script and a line feed at the end; SemVer §2 is ASCII.
    if not (text.isascii() and text.isprintable()):
        raise InvalidVersion(text)
    try:
        parsed = semver.Version.parse(text)
    except ValueError as error:
        raise InvalidVersion(text) from error
    key = ranges.key(parsed.major, parsed.minor, parsed.patch, parsed.prerelease)
    return Version(text, key, hash(key))


@lru_cache(maxsize=4096)
def _parse_constraint(text: str) -> Constraint:
    stripped = text.strip()
    if not stripped:
        raise InvalidConstraint(text, "it is blank")
    if stripped == ANY:
        return Constraint(text=text, span=None)
    try:
        return Constraint(text=text, span=ranges.parse(stripped))
    except ValueError as error:
        raise InvalidConstraint(text, str(error)) from error
