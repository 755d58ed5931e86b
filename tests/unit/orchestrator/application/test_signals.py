from __future__ import annotations

from orchestrator.application.signals import Signals


def test_each_loop_has_an_event_of_its_own() -> None:
    one, other = Signals(), Signals()
    one.pushes.set()
    assert [event.is_set() for event in (one.pushes, one.work, one.dates, other.pushes)] == [True, False, False, False]
