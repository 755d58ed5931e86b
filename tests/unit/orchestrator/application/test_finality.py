"""What was offered stays what it was, and what was recalled stays recalled, whatever is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application.documents import endpoints as documents
from orchestrator.application.preconditions import UNCONDITIONAL
from orchestrator.application.problems import SoftwareRecalledError, SpecificationFrozenError
from orchestrator.domain.versions import Version
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

OFFERED = Version.parse("1.1.0")


async def test_a_deleted_software_that_was_offered_comes_back_with_its_specification_only(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    await desk.definitions.delete(APP, OFFERED, UNCONDITIONAL)
    with pytest.raises(SpecificationFrozenError):
        await desk.define("1.1.0", "1.0.0", specification={"link": "other"})
    again = await desk.define("1.1.0", "1.0.0")
    assert again.record.offered_at is not None


async def test_a_deleted_software_that_nobody_was_offered_may_come_back_changed(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.definitions.delete(APP, OFFERED, UNCONDITIONAL)
    again = await desk.define("1.1.0", "1.0.0", specification={"link": "other"})
    assert again.record.offered_at is None


async def test_a_recalled_software_cannot_be_deleted(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.definitions.recall(APP, OFFERED)
    with pytest.raises(SoftwareRecalledError):
        await desk.definitions.delete(APP, OFFERED, UNCONDITIONAL)
    assert desk.revisions.entry(APP).software[OFFERED].software.recalled


async def test_an_edge_that_is_taken_away_hides_the_offer_before_it_is_swept(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    await desk.define("1.1.0", "0.9.0")
    assert await desk.offer_of("a") == "1.1.0"
    assert documents.build(await desk.endpoints.get(APP, "a"), desk.revisions.entry(APP))["offer"] is None


async def test_a_filter_that_matches_no_more_hides_the_offer_before_it_is_swept(desk: Desk) -> None:
    await desk.group("lab", "attributes.site == 'lab'")
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "lab"}])
    await desk.enrol("a", "1.0.0", attributes={"site": "lab"})
    assert documents.build(await desk.endpoints.get(APP, "a"), desk.revisions.entry(APP))["offer"] is not None
    await desk.group("lab", "attributes.site == 'field'")
    assert documents.build(await desk.endpoints.get(APP, "a"), desk.revisions.entry(APP))["offer"] is None
