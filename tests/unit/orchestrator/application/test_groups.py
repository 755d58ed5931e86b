"""Filters: who is decided anew when one changes, and what keeps one from going."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application import preconditions
from orchestrator.application.preconditions import UNCONDITIONAL, Precondition
from orchestrator.application.problems import (
    FilterInUseError,
    NotFoundError,
    PreconditionFailedError,
    PreconditionRequiredError,
)
from orchestrator.domain.filters import Filter
from tests.unit.orchestrator.application.desks import APP, CREATE, required

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

CANARY = Filter(filter_id="canary", expression="attributes.ring == 1")
FIELD = Filter(filter_id="canary", expression="attributes.ring == 2")


async def targeted(desk: Desk) -> None:
    """Software 2.0.0 for the canary, and two endpoints on 1.0.0, one of them in it."""
    await desk.groups.put(APP, CANARY, None, CREATE)
    await desk.define("2.0.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "canary"}])
    await desk.enrol("in", "1.0.0", attributes={"ring": 1})
    await desk.enrol("out", "1.0.0", attributes={"ring": 2})


async def test_filters_are_listed_by_identifier(desk: Desk) -> None:
    for filter_id in ("b", "a"):
        await desk.group(filter_id, "attributes.x == 1")
    assert [record.filter.filter_id for record in desk.groups.all(APP)] == ["a", "b"]
    assert desk.groups.get(APP, "a").filter.expression == "attributes.x == 1"


async def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="no filter 'gone'"):
        desk.groups.get(APP, "gone")
    with pytest.raises(NotFoundError, match="no filter 'gone'"):
        await desk.groups.delete(APP, "gone", UNCONDITIONAL)
    with pytest.raises(NotFoundError, match="no application 'gone'"):
        await desk.groups.put("gone", CANARY, None, CREATE)


async def test_another_expression_is_another_group(desk: Desk) -> None:
    await targeted(desk)
    assert (await desk.offer_of("in"), await desk.offer_of("out")) == ("2.0.0", None)
    await desk.groups.put(APP, FIELD, None, UNCONDITIONAL)
    assert desk.gate.closings > 0
    await desk.sweep()
    assert (await desk.offer_of("in"), await desk.offer_of("out")) == (None, "2.0.0")


async def test_a_filter_that_no_software_lists_concerns_nobody(desk: Desk) -> None:
    await desk.enrol("e1", "1.0.0")
    await desk.groups.put(APP, CANARY, None, CREATE)
    await desk.groups.put(APP, FIELD, None, UNCONDITIONAL)
    assert await desk.storage.works() == []


async def test_another_description_leaves_the_expression(desk: Desk) -> None:
    await desk.groups.put(APP, CANARY, None, CREATE)
    record, created = await desk.groups.put(APP, CANARY, "the lab", UNCONDITIONAL)
    assert (record.filter, record.description, created) == (CANARY, "the lab", False)


async def test_the_same_again_keeps_the_tag(desk: Desk) -> None:
    first, _ = await desk.groups.put(APP, CANARY, None, CREATE)
    again, created = await desk.groups.put(APP, CANARY, None, UNCONDITIONAL)
    assert (again, created) == (first, False)


async def test_what_exists_is_changed_only_by_who_has_seen_it(desk: Desk) -> None:
    record, _ = await desk.groups.put(APP, CANARY, None, CREATE)
    seen = preconditions.tag_of(record, None)
    with pytest.raises(PreconditionRequiredError):
        await desk.groups.put(APP, FIELD, None, CREATE)
    with pytest.raises(PreconditionFailedError):
        await desk.groups.put(APP, FIELD, None, Precondition(absent=True))
    await desk.groups.put(APP, FIELD, None, required(seen))
    with pytest.raises(PreconditionFailedError):
        await desk.groups.delete(APP, "canary", required(seen))
    assert desk.groups.get(APP, "canary").filter == FIELD


async def test_a_filter_that_software_lists_is_not_deleted(desk: Desk) -> None:
    await targeted(desk)
    with pytest.raises(FilterInUseError, match=r"canary is listed by 2\.0\.0"):
        await desk.groups.delete(APP, "canary", UNCONDITIONAL)
    await desk.define("2.0.0", "1.0.0", rollout={"stages": [{"filter": "canary"}, {"percent": 100}]})
    with pytest.raises(FilterInUseError, match=r"canary is listed by 2\.0\.0"):
        await desk.groups.delete(APP, "canary", UNCONDITIONAL)
    await desk.define("2.0.0", "1.0.0")
    await desk.groups.delete(APP, "canary", UNCONDITIONAL)
    assert desk.groups.all(APP) == []
    (entry,) = await desk.storage.entries()
    assert entry.filters == {}


async def test_a_tag_does_not_come_back_with_the_identifier(desk: Desk) -> None:
    record, _ = await desk.groups.put(APP, CANARY, None, CREATE)
    old = preconditions.tag_of(record, None)
    await desk.groups.delete(APP, "canary", UNCONDITIONAL)
    desk.clock.at = desk.clock.at.replace(year=2027)
    record, _ = await desk.groups.put(APP, CANARY, None, CREATE)
    assert preconditions.tag_of(record, None) != old
