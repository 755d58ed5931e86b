"""The shapes of files that operators write: which members there are, and of which type.

Rules:
- Only names and types are checked, so that an error has its line; what values mean, the server says. A test holds
  the shapes and the server's together.
- Null passes: the server knows where it may stand.

Layer: cli.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.cli.places import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.cli.places import Node


@dataclass(frozen=True, slots=True)
class Text:
    """A text."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number, whole or not."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """An object of these members."""

    known: Mapping[str, Shape]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An object whose names are up to the writer."""

    each: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list."""

    each: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOr:
    """A text that stands for something, such as an object by its first member, or the thing itself."""

    itself: Members | Items


Shape: TypeAlias = "Text | Whole | Number | Anything | Members | Named | Items | TextOr"

_SHOWN = 64

STAGE = Members(
    known={
        "percent": Number(),
        "count": Whole(),
        "filter": Text(),
        "soak": Text(),
        "soakReports": Whole(),
        "maxFailureRate": Number(),
        "minAttempted": Whole(),
        "maxUnhealthyRate": Number(),
        "approval": Text(),
    }
)
ROLLOUT = Members(
    known={
        "start": Text(),
        "end": Text(),
        "stages": TextOr(itself=Items(each=STAGE)),
        "limits": Members(
            known={
                "perMinute": Whole(),
                "inProgress": Whole(),
                "claim": Text(),
                "exponential": Members(
                    known={"base": Whole(), "factor": Number(), "notified": Whole(), "succeeded": Whole()},
                    required=("base", "factor"),
                ),
            }
        ),
        "deadline": Members(known={"installing": Text()}),
        "attempts": Members(known={"max": Whole(), "backoff": Text(), "returns": Whole()}),
        "window": Members(
            known={"cron": Text(), "duration": Text(), "timeZone": Text(), "onClose": Text()},
            required=("cron", "duration"),
        ),
        "consent": Text(),
        "onFailure": Text(),
    }
)
SOFTWARE = Members(
    known={
        "version": Text(),
        "upgradableFrom": Items(each=Text()),
        "rolloutStrategy": Text(),
        "filters": Items(
            each=Members(known={"filterId": Text(), "rolloutDate": Text()}, required=("filterId",)),
        ),
        "rollout": ROLLOUT,
        "specification": Anything(),
        "metadata": Named(each=Anything()),
    },
    required=("version", "rolloutStrategy"),
)
CATALOGUE = Members(
    known={
        "application": Text(),
        "appVersions": Items(each=Text()),
        "registration": Text(),
        "profile": Text(),
        "push": Text(),
        "consent": Text(),
        "operatorKeys": Items(each=Text()),
        "limits": Members(known={"perMinute": Whole(), "inProgress": Whole()}),
        "description": Text(),
        "filters": Named(
            each=TextOr(itself=Members(known={"expression": Text(), "description": Text()}, required=("expression",)))
        ),
        "software": Items(each=SOFTWARE),
    }
)


def faults(node: Node, shape: Shape, path: str) -> Iterator[Fault]:
    """What in `node` is not of this shape; `path` names it in sentences."""
    match shape, node.value:
        case (Anything(), _) | (_, None) | (Text() | TextOr(), str()):
            pass
        case (Whole(), int()) | (Number(), int() | float()) if not isinstance(node.value, bool):
            pass
        case (TextOr(itself=Members() as itself), dict()) | (TextOr(itself=Items() as itself), list()):
            yield from faults(node, itself, path)
        case Members() as members, dict():
            yield from _member_faults(node, members, path)
        case (Named(each=each), dict()) | (Items(each=each), list()):
            for inner, inner_path in _inside(node, path):
                yield from faults(inner, each, inner_path)
        case _:
            yield Fault(place=node.place, reason=f"{path or 'the file'} must be {_wanted(shape)}{_is(node, shape)}")


def _inside(node: Node, path: str) -> Iterator[tuple[Node, str]]:
    match node.value:
        case dict() as members:
            for name, member in members.items():
                yield member.node, f"{path}.{name}".lstrip(".")
        case list() as nodes:
            for index, item in enumerate(nodes):
                yield item, f"{path}[{index}]"


def _member_faults(node: Node, shape: Members, path: str) -> Iterator[Fault]:
    members = node.value if isinstance(node.value, dict) else {}
    meant: set[str] = set()
    for name, member in members.items():
        inner = shape.known.get(name)
        if inner is None:
            close = get_close_matches(name, shape.known, n=1)
            meant.update(close)
            yield Fault(place=member.place, reason=_unknown(name, close, shape, path))
        else:
            yield from faults(member.node, inner, f"{path}.{name}".lstrip("."))
    for name in shape.required:
        # A name that is only mistyped is said once.
        if name not in meant and (name not in members or members[name].node.value is None):
            yield Fault(place=node.place, reason=f"{f'{path}.{name}'.lstrip('.')} is required")


def _unknown(name: str, close: Sequence[str], shape: Members, path: str) -> str:
    where = f" in {path}" if path else ""
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(shape.known)}"
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    return f"{shown} is unknown{where}; {hint}"


def _wanted(shape: Shape) -> str:
    match shape:
        case Text():
            return "a text"
        case TextOr(itself=itself):
            return f"a text or {_wanted(itself)}"
        case Whole():
            return "a whole number"
        case Number():
            return "a number"
        case Items():
            return "a list"
        case _:
            return "an object"


def _is(node: Node, shape: Shape) -> str:
    match node.value:
        case bool() | int() | float():
            quote = f": quote it, '{node.text}'" if isinstance(shape, Text | TextOr) else ""
            return f", and {node.text} is {'a boolean' if isinstance(node.value, bool) else 'a number'}{quote}"
        case list():
            return ", and is a list"
        case dict():
            return ", and is an object"
        case _:
            return ", and is a text"
