from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import msgspec
import pytest

from orchestrator.domain.attempts import Attempt
from orchestrator.domain.endpoints import Endpoint
from protocol.links import Inbound
from protocol.values import quick


@quick(frozen=True, slots=True, kw_only=True)
class Quick:
    """With members of all kinds."""

    name: str
    note: str = field(default="", compare=False)
    marks: list[str] = field(default_factory=list, compare=False)

    @property
    def shouted(self) -> str:
        return self.name.upper()

    @staticmethod
    def named(name: str) -> Quick:
        return Quick(name=name)


@quick(frozen=True, slots=True)
class Pair:
    first: str
    second: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    name: str
    note: str = field(default="", compare=False)


def test_quick_values_compare_and_hash_as_frozen_ones_do() -> None:
    assert Quick(name="a", note="x") == Quick(name="a", note="y") != Quick(name="b")
    assert hash(Quick(name="a", note="x")) == hash(Quick(name="a", note="y")) == hash(Frozen(name="a", note="y"))
    assert {Quick(name="a"): 1}[Quick(name="a")] == 1


def test_quick_values_have_slots_and_keywords_only() -> None:
    assert not hasattr(Quick(name="a"), "__dict__")
    with pytest.raises(TypeError):
        Quick("a")  # type: ignore[call-arg] # what is refused


def test_quick_values_can_be_replaced() -> None:
    assert replace(Quick(name="a"), note="z").note == "z"


def test_quick_values_are_frozen() -> None:
    value = Quick(name="a")
    with pytest.raises(AttributeError):
        value.name = "b"  # type: ignore[misc] # what is refused
    assert value.name == "a"


def test_quick_values_have_the_members_that_were_written() -> None:
    assert Quick.__doc__ == "With members of all kinds."
    assert Quick(name="a").shouted == "A"
    assert Quick.named("b") == Quick(name="b")
    first, second = Quick(name="a"), Quick(name="a")
    assert first.marks == []
    assert first.marks is not second.marks
    assert repr(Quick(name="a", note="n")) == "Quick(name='a', note='n', marks=[])"


def test_quick_values_come_by_position_unless_they_are_keywords_only() -> None:
    assert Pair("a", "b") == Pair(first="a", second="b")
    assert (Pair("a").second, hash(Pair("a")) == hash(Pair("a", ""))) == ("", True)


@pytest.mark.parametrize(("frozen", "slots"), [(False, True), (True, False)])
def test_what_the_type_checker_would_see_otherwise_is_refused(*, frozen: bool, slots: bool) -> None:
    with pytest.raises(ValueError, match="frozen and has slots"):
        quick(frozen=frozen, slots=slots)


@pytest.mark.parametrize("made", [Inbound, Attempt, Endpoint])
def test_what_every_message_makes_is_quick(made: type[Inbound | Attempt | Endpoint]) -> None:
    assert issubclass(made, msgspec.Struct)
    assert fields(made)
