"""Freezes: what they stop at once, what they leave alone, and what comes back when they are lifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.problems import NotFoundError
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.facts import Progressed
from orchestrator.domain.outcomes import Outcome
from orchestrator.domain.versions import Version
from orchestrator.persistence.storage import open_storage
from protocol.progress import ProgressState
from tests.unit.orchestrator.application.desks import APP, CREATE, application_body, open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.orchestrator.application.desks import Desk

BECAUSE = ANONYMOUS.because("the image server burns")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        await desk.define("1.1.0", "1.0.0")
        yield desk


async def shown(desk: Desk, endpoint_id: str) -> object:
    document = await desk.endpoints.get(APP, endpoint_id)
    entry = desk.revisions.entry(APP)
    offer = document.record.endpoint.offer
    return offer is not None and entry.offerable(offer.version, started=offer.state is AttemptState.INSTALLING)


async def test_a_freeze_ends_unstarted_offers_at_once_and_says_how_many(desk: Desk) -> None:
    for name in ("e1", "e2"):
        await desk.enrol(name, "1.0.0")
    closings = desk.gate.closings
    frozen = await desk.freezes.set(APP, BECAUSE)
    assert frozen.withdrawn == 2
    assert frozen.freeze is not None
    assert (frozen.freeze.by, frozen.freeze.reason) == ("anonymous", "the image server burns")
    assert desk.gate.closings == closings + 1
    # The rows are swept later; nothing may be seen of the offers before that.
    assert await desk.offer_of("e1") == "1.1.0"
    assert not await shown(desk, "e1")
    await desk.sweep()
    assert await desk.offer_of("e1") is None
    assert await desk.offer_of("e2") is None


async def test_while_frozen_nobody_is_offered_anything_and_explain_says_why(desk: Desk) -> None:
    await desk.freezes.set(APP, BECAUSE)
    await desk.enrol("e1", "1.0.0")
    assert await desk.offer_of("e1") is None
    explanation = await desk.observations.explanation(APP, "e1")
    assert explanation["outcome"] == Outcome.WAITING.value
    assert "freeze the application frozen since" in str(explanation["summary"])
    assert "the image server burns" in str(explanation["summary"])


async def test_lifting_a_freeze_brings_the_offers_back(desk: Desk) -> None:
    await desk.enrol("e1", "1.0.0")
    await desk.freezes.set(APP, BECAUSE)
    await desk.sweep()
    lifted = await desk.freezes.lift(APP, ANONYMOUS)
    assert lifted.freeze is None
    await desk.sweep()
    assert await desk.offer_of("e1") == "1.1.0"


async def test_a_started_install_outlives_a_freeze(desk: Desk) -> None:
    await desk.enrol("e1", "1.0.0")
    started = Progressed(
        version=Version.parse("1.1.0"), state=ProgressState.INSTALLING, percent=10, message=None, at=desk.clock.at
    )
    await desk.hear("e1", started)
    frozen = await desk.freezes.set(APP, BECAUSE)
    assert frozen.withdrawn == 0
    await desk.sweep()
    assert await desk.offer_of("e1") == "1.1.0"
    assert await shown(desk, "e1")
    document = await desk.report("e1", "1.1.0")
    attempt = document.record.endpoint.attempt
    assert attempt is not None
    assert attempt.state is AttemptState.CONFIRMED


@pytest.mark.parametrize("pinned", [True, False])
async def test_a_pin_or_a_rescue_waits_for_the_freeze_too(desk: Desk, *, pinned: bool) -> None:
    await desk.define("1.0.0", "1.1.0")
    await desk.freezes.set(APP, BECAUSE)
    if not pinned:
        await desk.definitions.recall(APP, Version.parse("1.1.0"))
    await desk.enrol("e1", "1.1.0", **({"pinned": "1.0.0"} if pinned else {}))
    assert await desk.offer_of("e1") is None
    await desk.freezes.lift(APP, ANONYMOUS)
    await desk.sweep()
    assert await desk.offer_of("e1") == "1.0.0"


async def test_a_freeze_of_all_holds_for_applications_that_come_later_and_beside_their_own(desk: Desk) -> None:
    everywhere = await desk.freezes.set(None, BECAUSE)
    assert everywhere.freeze is not None
    assert everywhere.freeze.everywhere
    await desk.applications.put("later", application_body(appVersions=["later-v1"]), CREATE)
    later = await desk.freezes.get("later")
    assert later is not None
    assert later.everywhere
    await desk.freezes.set(APP, ANONYMOUS)
    await desk.freezes.lift(None, ANONYMOUS)
    assert await desk.freezes.get("later") is None
    own = await desk.freezes.get(APP)
    assert own is not None
    assert not own.everywhere


async def test_freezing_twice_keeps_the_first_and_is_no_change(desk: Desk) -> None:
    first = await desk.freezes.set(APP, BECAUSE)
    changes = len(desk.bells.changes)
    again = await desk.freezes.set(APP, ANONYMOUS.because("another"))
    assert again.freeze == first.freeze
    assert again.withdrawn == 0
    assert len(desk.bells.changes) == changes
    await desk.freezes.lift(APP, ANONYMOUS)
    await desk.freezes.lift(APP, ANONYMOUS)
    assert len(desk.bells.changes) == changes + 1


async def test_a_freeze_survives_a_restart(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.freezes.set(APP, BECAUSE)
    async with open_storage(f"sqlite+aiosqlite:///{tmp_path}/otao.db") as storage:
        (entry,) = await storage.entries()
        assert entry.application.frozen is not None
        assert entry.catalogue.freeze == entry.application.frozen


async def test_an_unknown_application_has_no_freeze(desk: Desk) -> None:
    for call in (
        desk.freezes.set("other", ANONYMOUS),
        desk.freezes.lift("other", ANONYMOUS),
        desk.freezes.get("other"),
    ):
        with pytest.raises(NotFoundError):
            await call
