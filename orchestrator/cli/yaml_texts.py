"""YAML, read strictly: one document whose every value has a place, and means the same to every reader.

Rules:
- Built from the parser's events, with a stack of our own: nesting is bounded, and nothing recurses.
- Aliases stand for what they name, within a bound on what they make together; one inside itself is refused.
- A plain scalar that YAML 1.1 and 1.2 read differently is refused, and so are NaN and infinity, which JSON lacks.
  Dates are texts, as in JSON.
- Names of members are texts, each once; merge keys and tags, but `!!str`, are refused.

Spec: YAML 1.1 as PyYAML reads it; YAML 1.2.2 §10.3.2, the core schema.

Layer: cli.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import yaml

from orchestrator.cli.places import START, FaultError, Member, Node, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.cli.places import Value

MOST_BYTES = 1_048_576
"""What a request's body may have, too."""
MOST_VALUES = 100_000
DEEPEST = 60
"""The server reads 64 levels; a catalogue may stand within another object."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING = "tag:yaml.org,2002:str"
_NO_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULL = re.compile(r"null|Null|NULL|~|")
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_CORE_NUMBER = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_AMBIGUOUS = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float")}
_MOST_DIGITS = 300
_SHOWN = 64


def read(content: bytes) -> Node:
    """The one document in a file.

    Raises:
        FaultError: it is too large, no UTF-8, no YAML, not one document, or not within the rules.
    """
    if len(content) > MOST_BYTES:
        raise FaultError(START, f"larger than {MOST_BYTES} bytes")
    text = _decoded(content)
    try:
        return _Builder(text).build()
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        raise FaultError(place, _reason(error, text, place)) from error
    except yaml.YAMLError as error:
        raise FaultError(START, f"no YAML: {error}") from error


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        raise FaultError(_end_of(before), f"no UTF-8: the byte 0x{content[error.start]:02X}") from error
    text = text.removeprefix("\ufeff")
    if strange := _NO_YAML.search(text):
        raise FaultError(_end_of(text[: strange.start()]), f"U+{ord(strange[0]):04X} must not stand in YAML")
    return text


def _end_of(text: str) -> Place:
    lines = text.split("\n")
    return Place(line=len(lines), column=len(lines[-1]) + 1)


class _Mark(Protocol):
    """A place, as either of PyYAML's parsers says it; counted from 0."""

    line: int
    column: int


def _place(mark: _Mark | None) -> Place:
    return START if mark is None else Place(line=mark.line + 1, column=mark.column + 1)


def _reason(error: yaml.MarkedYAMLError, text: str, place: Place) -> str:
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indented with a tab: YAML takes blanks only"
    parts = (error.context, error.problem)
    return "no YAML: " + (", ".join(part for part in parts if part) or "it cannot be read")


@dataclass(slots=True, kw_only=True)
class _Frame:
    """An object or a list that is being read."""

    place: Place
    anchor: str | None
    members: dict[str, Member] | None
    """None: it is a list."""
    nodes: list[Node] = field(default_factory=list)
    key: Node | None = None
    """The name whose value comes next."""
    size: int = 1
    depth: int = 1


class _Builder:
    def __init__(self, text: str) -> None:
        self._text = text
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None
        self._resolve: Callable[..., str] = yaml.resolver.Resolver().resolve

    def build(self) -> Node:
        for event in self._events():
            place = _place(event.start_mark)
            match event:
                case yaml.DocumentStartEvent() if self._root is not None:
                    raise FaultError(place, "a second document: a file has one")
                case yaml.ScalarEvent():
                    self._add(self._scalar(event, place), event.anchor)
                case yaml.AliasEvent():
                    self._add(self._alias(str(event.anchor), place), None)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._open(event, place)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close()
        return self._root or Node(place=START, value=None)

    def _events(self) -> Iterator[yaml.Event]:
        yield from yaml.parse(self._text, Loader=_LOADER)

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, place: Place) -> None:
        if event.tag is not None and not event.implicit:
            raise FaultError(place, f"the tag {_short(str(event.tag))} is not taken")
        if len(self._frames) >= DEEPEST:
            raise FaultError(place, f"nested more than {DEEPEST} deep")
        members: dict[str, Member] | None = {} if isinstance(event, yaml.MappingStartEvent) else None
        if members is not None:
            self._refuse_as_key(place)
        self._frames.append(_Frame(place=place, anchor=event.anchor, members=members))

    def _refuse_as_key(self, place: Place) -> None:
        frame = self._frames[-1] if self._frames else None
        if frame is not None and frame.members is not None and frame.key is None:
            raise FaultError(place, "the name of a member must be a text")

    def _close(self) -> None:
        frame = self._frames.pop()
        value: Value = frame.nodes if frame.members is None else frame.members
        self._add(Node(place=frame.place, value=value, size=frame.size, depth=frame.depth), frame.anchor)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._frames:
            self._root = node
            return
        frame = self._frames[-1]
        if frame.members is not None and frame.key is None:
            frame.key = self._name(node, frame.members)
            return
        frame.size += node.size
        frame.depth = max(frame.depth, node.depth + 1)
        if frame.size > MOST_VALUES:
            raise FaultError(node.place, f"more than {MOST_VALUES} values, each alias counted as what it stands for")
        if frame.depth > DEEPEST:
            raise FaultError(node.place, f"nested more than {DEEPEST} deep")
        if frame.members is None:
            frame.nodes.append(node)
        elif frame.key is not None:
            frame.members[str(frame.key.value)] = Member(place=frame.key.place, node=node)
            frame.key = None

    @staticmethod
    def _name(node: Node, members: dict[str, Member]) -> Node:
        if not isinstance(node.value, str):
            hint = f": quote it, '{_short(node.text)}'" if node.text else ""
            raise FaultError(node.place, f"the name of a member must be a text{hint}")
        if node.value == "<<" and node.text:
            raise FaultError(node.place, "merge keys are not taken: use an alias for a whole value")
        if (earlier := members.get(node.value)) is not None:
            raise FaultError(node.place, f"{_short(node.value)} stands twice; first in line {earlier.place.line}")
        return node

    def _alias(self, anchor: str, place: Place) -> Node:
        if any(frame.anchor == anchor for frame in self._frames):
            raise FaultError(place, f"the alias *{_short(anchor)} stands inside what it stands for")
        if anchor not in self._anchors:
            raise FaultError(place, f"nothing has the anchor &{_short(anchor)}")
        return self._anchors[anchor]

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Node:
        if event.tag not in {None, "!", _STRING}:
            raise FaultError(place, f"the tag {_short(str(event.tag))} is not taken; !!str is")
        plain = event.implicit[0] and not event.style and event.tag is None
        if not plain:
            return Node(place=place, value=_storable(event.value, place))
        return Node(place=place, value=self._resolved(event.value, place), text=event.value)

    def _resolved(self, text: str, place: Place) -> Value:
        if _NULL.fullmatch(text):
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _WHOLE.fullmatch(text) and len(text) <= _MOST_DIGITS:
            return int(text)
        if _FRACTION.fullmatch(text) and math.isfinite(number := float(text)):
            return number
        tag = self._resolve(yaml.ScalarNode, text, (True, False))
        if tag in _AMBIGUOUS or _CORE_NUMBER.fullmatch(text):
            raise FaultError(
                place,
                f"{_short(text)} is a number or a boolean that not every reader of YAML takes: quote it, "
                "or write true, false or a plain number",
            )
        return _storable(text, place)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _storable(text: str, place: Place) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FaultError(place, "half of a surrogate pair must not stand in a text") from error
    return text
