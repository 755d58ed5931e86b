from __future__ import annotations

from collections import Counter
from dataclasses import fields

from orchestrator.application.tallies import Tallies


def test_everything_is_counted_from_zero_and_by_each_engine_alone() -> None:
    one, other = Tallies(), Tallies()
    one.refused["topic-malformed"] += 1
    one.batches += 1
    for field in fields(Tallies):
        assert getattr(other, field.name) in (0, Counter())
