from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.classes import Renewal
from orchestrator.application.preconditions import UNCONDITIONAL
from orchestrator.application.problems import FilterUnknownError, NotFoundError
from orchestrator.domain.facts import Consented
from orchestrator.domain.versions import Version
from tests.unit.orchestrator.application.desks import APP, open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.persistence.edits import SqlEdit
    from tests.unit.orchestrator.application.desks import Desk


async def running_of_work(desk: Desk) -> list[set[str | None] | None]:
    """The versions that each work item names, oldest first."""
    return [
        None if work.running is None else {None if item is None else item.text for item in work.running}
        for work in await desk.storage.works()
    ]


async def test_a_change_concerns_only_those_from_where_it_can_be_reached(desk: Desk) -> None:
    for name, version in (("e1", "1.0.0"), ("e2", "2.0.0"), ("e3", "3.0.0")):
        await desk.enrol(name, version)
    await desk.define("2.0.0", "1.0.0")
    await desk.define("3.0.0", "9.9.9")
    await desk.sweep()
    await desk.define("2.1.0", "2.0.0")
    assert await running_of_work(desk) == [{"1.0.0", "2.0.0"}]


async def test_endpoints_that_have_reported_nothing_are_concerned_by_a_star(desk: Desk) -> None:
    await desk.enrol("e1")
    await desk.enrol("e2", "1.0.0")
    await desk.define("0.9.0", "*")
    assert await running_of_work(desk) == [{None, "1.0.0"}]


async def test_a_change_that_concerns_nobody_leaves_no_work(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    assert await running_of_work(desk) == []


async def test_descriptive_members_concern_nobody(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    await desk.define("1.1.0", "1.0.0", metadata={"description": "fast"})
    assert await running_of_work(desk) == []


@pytest.mark.parametrize("mode", ["retained", "live"])
async def test_who_is_asked_is_asked_with_what_software_says_of_itself_now_and_nobody_else(
    tmp_path: Path, mode: str
) -> None:
    async with open_desk(tmp_path, consent="required", push=mode) as desk:
        await desk.define("1.1.0", "1.0.0")
        await desk.define("2.0.0", "1.1.0")
        for name, version in (("e1", "1.0.0"), ("e2", "1.1.0"), ("e3", "1.0.0"), ("e4", "1.0.0")):
            await desk.enrol(name, version)
        for name, granted in (("e3", False), ("e4", True)):
            said = Consented(version=Version.parse("1.1.0"), granted=granted, at=desk.clock.now())
            await desk.hear(name, said)
        before = await desk.storage.last_revision()
        await desk.define("1.1.0", "1.0.0", metadata={"description": "fast"})
        assert [(work.running, work.renews) for work in await desk.storage.works()] == [
            (frozenset({Version.parse("1.0.0")}), Renewal.ASKS)
        ]
        await desk.sweep()
        # An offer does not hold it, and one that is seen again may be installed again.
        assert [push.token for push in await desk.storage.pushes(before, 10)] == ["e1"]
        assert b'{"description":"fast"}' in desk.revisions.entry(APP).ask(Version.parse("1.1.0"))
        assert await desk.storage.works() == []


async def test_another_expression_concerns_whoever_may_reach_software_that_lists_the_filter(desk: Desk) -> None:
    await desk.group("canary", "attributes.ring == 1")
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "canary"}])
    await desk.enrol("e1", "1.0.0", attributes={"ring": 2})
    await desk.enrol("e2", "5.0.0", attributes={"ring": 2})
    await desk.sweep()
    await desk.group("canary", "attributes.ring == 2")
    assert await running_of_work(desk) == [{"1.0.0"}]
    await desk.sweep()
    assert await desk.offer_of("e1") == "1.1.0"


async def test_invariant_7_a_stop_is_committed_before_the_call_waits_for_what_is_leaving(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.define("1.1.0", "1.0.0")
    assert desk.gate.closings == 0
    seen: list[bool] = []
    edit_really = desk.storage.edit

    @asynccontextmanager
    async def watched() -> AsyncIterator[SqlEdit]:
        async with edit_really() as edit:
            yield edit
        seen.append(desk.gate.closings == 0)

    monkeypatch.setattr(desk.storage, "edit", watched)
    await desk.definitions.recall(APP, Version.parse("1.1.0"))
    assert (desk.gate.closings, seen) == (1, [True])


async def test_invariant_7_a_stop_is_seen_by_reads_before_any_endpoint_was_touched(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    await desk.definitions.recall(APP, Version.parse("1.1.0"))
    entry = desk.revisions.entry(APP)
    assert await desk.offer_of("e1") == "1.1.0"
    assert not entry.offerable(Version.parse("1.1.0"), started=False)


async def test_a_refused_change_leaves_everything_as_it_was(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    before, bells = desk.revisions.entry(APP), (desk.bells.worked, desk.bells.pushed)
    with pytest.raises(FilterUnknownError):
        await desk.define("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "gone"}])
    assert desk.revisions.entry(APP) is before
    assert (desk.bells.worked, desk.bells.pushed) == bells
    assert await running_of_work(desk) == []
    assert desk.gate.closings == 0


async def test_a_change_wakes_those_who_work_and_those_who_publish(desk: Desk) -> None:
    worked, pushed = desk.bells.worked, desk.bells.pushed
    await desk.define("1.1.0", "1.0.0")
    assert (desk.bells.worked, desk.bells.pushed) == (worked + 1, pushed + 1)


async def test_the_directory_is_what_the_database_holds(desk: Desk) -> None:
    await desk.group("canary", "attributes.ring == 1")
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "canary"}])
    await desk.define("1.0.0")
    await desk.definitions.delete(APP, Version.parse("1.0.0"), UNCONDITIONAL)
    [stored] = await desk.storage.entries()
    present = desk.revisions.entry(APP)
    assert (stored.application, stored.software, stored.filters) == (
        present.application,
        present.software,
        present.filters,
    )


async def test_an_unknown_application_cannot_be_opened(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        async with desk.revisions.open("other", stops=False, by=ANONYMOUS):
            pass
