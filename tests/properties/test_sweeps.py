"""A sweep decides in classes what each endpoint alone would be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from orchestrator.application import drafts, pages
from orchestrator.domain import changes
from protocol.topics import Instances
from tests.contract.storages import IMPLEMENTATIONS, NOW, Implementation, Shelf, found, kept, seen, store
from tests.properties import fleets

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Application, Draft, EndpointRecord
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

AT = NOW + fleets.HOUR / 4
"""When the change is made: between the dates and back-offs that are drawn."""
PAGE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fleet under one catalogue, and a change to another."""

    application: Application
    before: tuple[Software, ...]
    after: tuple[Software, ...]
    fleet: list[fleets.Member]
    running: frozenset[Version | None] | None
    """Whom the change is said to concern; None: everybody."""


cases = st.builds(
    Case,
    application=fleets.applications,
    before=fleets.catalogues | fleets.rollouts,
    after=fleets.catalogues | fleets.rollouts,
    fleet=fleets.fleets,
    running=st.sampled_from((frozenset(fleets.RUN), frozenset(fleets.RUN[:3]), None)),
)


def alone(record: EndpointRecord, entry: Entry, running: frozenset[Version | None] | None) -> Draft:
    """What becomes of an endpoint that is decided by itself."""
    draft = drafts.begin(record)
    if running is None or record.endpoint.running in running:
        drafts.settle(draft, entry, AT)
        if running is None:
            drafts.push_anew(draft, entry, Instances())
        draft.push = drafts.pushes_needed(draft, entry)
    return draft


async def decide_both_ways(shelf: Shelf, case: Case, number: int) -> None:
    defined = await shelf.define(fleets.fresh(case.application, number), case.before, fleets.FILTERS)
    newcomers = fleets.newcomers(defined, case.fleet)
    tokens = [draft.before.token for draft in newcomers]
    await store(shelf, defined, *newcomers)
    entry = await shelf.define(defined.application, case.after, fleets.FILTERS)
    stored = await found(shelf, entry, tokens)
    expected = [alone(record, entry, case.running) for record in stored]
    pushed_before = await shelf.storage.last_revision()
    run = {record.endpoint.running for record in stored}
    await shelf.add_work(
        entry.application.key, None if case.running is None else {version for version in run if version in case.running}
    )
    await fleets.sweep(shelf, entry, fleets.HandClock(at=AT))
    pushes = {push.key: push for push in await shelf.storage.pushes(pushed_before, 1000) if push.key}
    records = await found(shelf, entry, tokens)
    past = await shelf.past(entry.application.key)
    assert [record.key for record in records] == [draft.before.key for draft in expected]
    for draft, record in zip(expected, records, strict=True):
        concerned = case.running is None or draft.before.endpoint.running in case.running
        assert not concerned or record.due_at == changes.due_at(record.endpoint, entry.policy_of, AT)
        event(f"{'moved' if draft.entries else 'left'}")
        assert seen(record.endpoint) == seen(draft.after)
        assert past.history(record) == draft.entries[::-1]
        # Why an attempt was withdrawn is in the history.
        superseded = [replace(attempt, reason=None) for attempt in past.attempts.get(record.key, [])]
        assert superseded == [replace(kept(attempt), reason=None) for attempt in draft.superseded]
        assert (record.key in pushes) == draft.push
        assert record.push_revision == (pushes[record.key].revision if draft.push else draft.before.push_revision)
    offered = {version for draft in expected for version in drafts.offered(draft)}
    assert (await shelf.offered(entry)).keys() == offered
    assert await shelf.storage.works() == []


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=lambda implementation: implementation.name)
def test_class_and_endpoint_decisions_are_the_same(
    implementation: Implementation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", PAGE)
    numbers = count(1)
    with fleets.shared(implementation.open(tmp_path)) as (runner, shelf):

        @settings(max_examples=500, deadline=None)
        @given(case=cases)
        def check(case: Case) -> None:
            runner.run(decide_both_ways(shelf, case, next(numbers)))

        check()
