from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import pytest

from orchestrator.domain.attempts import Attempt
from orchestrator.domain.endpoints import Endpoint
from protocol.links import Inbound
from protocol.values import quick


@quick(frozen=True, slots=True, kw_only=True)
class Quick:
    name: str
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    name: str
    note: str = field(default="", compare=False)


def test_quick_values_compare_and_hash_as_frozen_ones_do() -> None:
    assert Quick(name="a", note="x") == Quick(name="a", note="y") != Quick(name="b")
    assert hash(Quick(name="a", note="x")) == hash(Frozen(name="a", note="y"))
    assert {Quick(name="a"): 1}[Quick(name="a")] == 1


def test_quick_values_have_slots_and_keywords_only() -> None:
    assert not hasattr(Quick(name="a"), "__dict__")
    with pytest.raises(TypeError):
        Quick("a")  # type: ignore[call-arg] # what is refused


def test_quick_values_can_be_replaced() -> None:
    assert replace(Quick(name="a"), note="z").note == "z"


def test_what_is_not_frozen_for_the_type_checker_is_refused() -> None:
    with pytest.raises(ValueError, match="False"):
        quick(frozen=False, slots=True)


@pytest.mark.parametrize("made", [Inbound, Attempt, Endpoint])
def test_what_every_message_makes_is_quick(made: type[Inbound | Attempt | Endpoint]) -> None:
    """Nothing looks a setter up by name: then the class has no `__setattr__` of its own."""
    assert made.__setattr__ is object.__setattr__
    assert fields(made)
