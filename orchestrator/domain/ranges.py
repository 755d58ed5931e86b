"""npm version ranges, parsed to intervals over SemVer precedence.

Rules:
- A range is alternatives joined by `||`; each is an interval, the meet of its comparators.
- A prerelease lies in an alternative only when a comparator of it names a prerelease of the same
  major.minor.patch, as npm says. (npm forgets the other alternatives beside an "any"; here they count.)
- An empty alternative is refused, although npm takes it as "any": it is a typing error more often than a wish.

Intervals instead of `semantic_version.NpmSpec`, which strays from npm: its `1.2.3-beta` takes 1.2.3 in,
its `>=1.2.2 <1.2.3-beta` takes 1.2.1 in. Intervals also let a catalogue find edges by bisection.

Spec: npm's node-semver 7, "Range Grammar" and "Prerelease Tags"; SemVer 2.0.0 §11.
Layer: orchestrator.domain; pure. Raises plain `ValueError`s, which `versions` dresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Identifier: TypeAlias = tuple[int, int, str]
Key: TypeAlias = tuple[int, int, int, tuple[Identifier, ...]]
"""Sorts as SemVer §11 says: major, minor, patch, prerelease identifiers."""
Bound: TypeAlias = tuple[Key, int]
"""A place just below a version (key, 0) or just above it (key, 1)."""

RELEASE: tuple[Identifier, ...] = ((2, 0, ""),)
"""Instead of prerelease identifiers: sorts after all of them."""
FIRST_PRERELEASE: tuple[Identifier, ...] = ((0, 0, ""),)
"""`-0`: npm ends its ranges below it, so that no prerelease of the next version slips in."""

_NUMBER = r"0|[1-9][0-9]*"
_PART = rf"{_NUMBER}|[xX*]"
_IDENTIFIER = r"0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*"
_PARTIAL = (
    rf"v?({_PART})(?:\.({_PART})(?:\.({_PART})"
    rf"(?:-((?:{_IDENTIFIER})(?:\.(?:{_IDENTIFIER}))*))?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?)?)?"
)
_COMPARATOR = re.compile(rf"(<=|>=|<|>|=|\^|~>?|)\s*{_PARTIAL}(?:\s+|$)", re.ASCII)
_HYPHEN = re.compile(rf"{_PARTIAL}\s+-\s+{_PARTIAL}", re.ASCII)

_BOTTOM: Bound = ((0, 0, 0, ()), 0)
FULL = 3
"""Numbers in a full version."""


def key(major: int, minor: int, patch: int, prerelease: str | None = None) -> Key:
    """Return what versions are compared by; `prerelease` as written, without its hyphen."""
    if not prerelease:
        return (major, minor, patch, RELEASE)
    return (major, minor, patch, tuple(_identifier(text) for text in prerelease.split(".")))


def _identifier(text: str) -> Identifier:
    # SemVer §11.4: numeric identifiers sort below the others, numerically; the others in ASCII order.
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One alternative of a range: from `low` up to, not including, `high`."""

    low: Bound
    high: Bound | None
    """None is without end."""
    patches: frozenset[tuple[int, int, int]]
    """The major.minor.patch triples of which prereleases may match."""

    def contains(self, version: Key) -> bool:
        """Whether the version lies inside, by npm's rule for prereleases too."""
        place = (version, 0)
        if place < self.low or (self.high is not None and place >= self.high):
            return False
        return version[3] == RELEASE or version[:3] in self.patches


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A parsed range: at least one alternative."""

    alternatives: tuple[Interval, ...]

    def contains(self, version: Key) -> bool:
        """Whether any alternative takes the version in."""
        return any(interval.contains(version) for interval in self.alternatives)


def parse(text: str) -> Range:
    """Parse an npm range.

    Raises:
        ValueError: the text is none, or has an empty alternative; the message says where.
    """
    return Range(alternatives=tuple(_alternative(part.strip()) for part in text.split("||")))


def _alternative(text: str) -> Interval:
    if not text:
        raise ValueError("it has an empty alternative")
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen is not None:
        low, high = _Partial.of(hyphen.groups()[:4]), _Partial.of(hyphen.groups()[4:])
        return _meet([low.at_least(), high.at_most()], [low, high])
    bounds: list[_Span] = []
    partials: list[_Partial] = []
    position = 0
    while position < len(text):
        match = _COMPARATOR.match(text, position)
        if match is None:
            raise ValueError(f"{text[position:]!r} is no comparator")
        operator, *groups = match.groups()
        partials.append(_Partial.of(groups))
        bounds.append(partials[-1].span(operator))
        position = match.end()
    return _meet(bounds, partials)


def _meet(spans: list[_Span], partials: list[_Partial]) -> Interval:
    highs = [high for _, high in spans if high is not None]
    return Interval(
        low=max(low for low, _ in spans),
        high=min(highs, default=None),
        patches=frozenset((part.major, part.minor, part.patch) for part in partials if part.prerelease),
    )


_Span: TypeAlias = tuple[Bound, Bound | None]


@dataclass(frozen=True, slots=True)
class _Partial:
    """A version of which trailing numbers may be missing; missing ones are 0 here."""

    depth: int
    """How many numbers there are, 0-3."""
    major: int
    minor: int
    patch: int
    prerelease: str | None

    @staticmethod
    def of(groups: Sequence[str | None]) -> _Partial:
        numbers: list[int] = []
        for text in groups[:3]:
            if text is None or not text.isdigit():
                break
            numbers.append(int(text))
        depth = len(numbers)
        if groups[3] is not None and depth < FULL:
            raise ValueError(f"the prerelease {groups[3]!r} follows no full version")
        major, minor, patch = numbers + [0] * (FULL - depth)
        return _Partial(depth, major, minor, patch, groups[3])

    def key(self) -> Key:
        return key(self.major, self.minor, self.patch, self.prerelease)

    def floor(self) -> Bound:
        """Just below the version, missing numbers being 0; without any number, below all versions."""
        if self.depth == 0:
            return _BOTTOM
        return (self.key(), 0)

    def ceiling(self, depth: int) -> Bound | None:
        """Just below the first prerelease of the next version when only `depth` numbers are held; None without end."""
        match depth:
            case 0:
                return None
            case 1:
                numbers = (self.major + 1, 0, 0)
            case 2:
                numbers = (self.major, self.minor + 1, 0)
            case _:
                numbers = (self.major, self.minor, self.patch + 1)
        return ((*numbers, FIRST_PRERELEASE), 0)

    def at_least(self) -> _Span:
        return (self.floor(), None)

    def at_most(self) -> _Span:
        if self.depth == FULL:
            return (_BOTTOM, (self.key(), 1))
        return (_BOTTOM, self.ceiling(self.depth))

    def span(self, operator: str) -> _Span:
        """What `operator` before this makes of it, as npm desugars it."""
        match operator:
            case "<" | ">":
                return self._strict(operator)
            case "<=":
                return self.at_most()
            case ">=":
                return self.at_least()
            case "^":
                return (self.floor(), self.ceiling(self._caret_depth()))
            case "~" | "~>":
                return (self.floor(), self.ceiling(min(self.depth, 2)))
            case _:
                exact = (self.key(), 1)
                return (self.floor(), exact if self.depth == FULL else self.ceiling(self.depth))

    def _strict(self, operator: str) -> _Span:
        if self.depth == 0:
            return (_BOTTOM, _BOTTOM)  # npm: nothing is below or above "any"
        if operator == ">":
            # `>1.2` starts with the release 1.3.0; `>1.2.3` just after 1.2.3.
            return ((self.key(), 1) if self.depth == FULL else self._next_release(), None)
        if self.depth == FULL:
            return (_BOTTOM, self.floor())
        return (_BOTTOM, ((self.major, self.minor, self.patch, FIRST_PRERELEASE), 0))

    def _next_release(self) -> Bound:
        numbers = (self.major + 1, 0, 0) if self.depth == 1 else (self.major, self.minor + 1, 0)
        return ((*numbers, RELEASE), 0)

    def _caret_depth(self) -> int:
        """How many numbers `^` holds: up to the first that is not 0, and no further than are given."""
        if self.major or self.depth <= 1:
            return min(self.depth, 1)
        return 2 if self.minor else self.depth
