from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application import drafts
from orchestrator.application.announcer import Announcer
from orchestrator.application.audits import Action, AuditEntry
from orchestrator.application.authors import ANONYMOUS
from tests.parts import without_broker
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk


async def test_each_bell_wakes_the_loops_that_it_is_for(desk: Desk) -> None:
    parts = without_broker(desk.storage, desk.directory, desk.clock)
    announcer, signals = Announcer(parts), parts.signals
    announcer.pushes()
    assert (signals.pushes.is_set(), signals.work.is_set(), signals.dates.is_set()) == (True, False, False)
    signals.pushes.clear()
    announcer.work()
    # Another date may be the next one now.
    assert (signals.pushes.is_set(), signals.work.is_set(), signals.dates.is_set()) == (False, True, True)


async def test_changes_are_counted_by_action_and_told(desk: Desk) -> None:
    parts = without_broker(desk.storage, desk.directory, desk.clock)
    entry = AuditEntry(
        at=desk.clock.at,
        application=APP,
        author=ANONYMOUS,
        action=Action.FREEZE_SET,
        resource="freeze",
        before=None,
        after="{}",
    )
    with parts.feed.read() as reader:
        Announcer(parts).audited([entry, entry])
        taken = reader.take(10)
    assert parts.tallies.changes == {"freeze.set": 2}
    assert [(event.kind, event.application) for event in taken.events] == [("freeze.set", APP)] * 2


async def test_what_has_happened_to_an_endpoint_is_told(desk: Desk) -> None:
    document = await desk.enrol("a", "1.0.0")
    parts = without_broker(desk.storage, desk.directory, desk.clock)
    with parts.feed.read() as reader:
        Announcer(parts).happened(drafts.begin(document.record), created=True)
        Announcer(parts).happened(drafts.begin(document.record), created=False)
        taken = reader.take(10)
    assert [(event.kind, event.subject) for event in taken.events] == [("endpoint.registered", "endpoints/a")]
