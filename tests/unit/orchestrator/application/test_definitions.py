from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import preconditions
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.documents import software as documents
from orchestrator.application.documents import texts
from orchestrator.application.preconditions import UNCONDITIONAL, Precondition
from orchestrator.application.problems import (
    FilterUnknownError,
    NotFoundError,
    PreconditionFailedError,
    PreconditionRequiredError,
    SpecificationFrozenError,
)
from orchestrator.domain.catalogues import VersionConflict
from orchestrator.domain.versions import Version
from tests.unit.orchestrator.application.desks import APP, CREATE, definition, required

if TYPE_CHECKING:
    from orchestrator.application.documents.software import Definition
    from orchestrator.application.records import SoftwareRecord
    from tests.unit.orchestrator.application.desks import Desk

GENERAL = definition('{"rolloutStrategy":"general","specification":{"link":"x"}}')
SUSPENDED = definition('{"rolloutStrategy":"suspended"}')


def v(text: str) -> Version:
    return Version.parse(text)


def tag(record: SoftwareRecord) -> str:
    return preconditions.tag_of(record, record.created_at)


async def test_software_is_listed_the_highest_version_first(desk: Desk) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0", "1.2.0"):
        await desk.define(version)
    listed = [record.software.version.text for record in desk.definitions.all(APP)]
    assert listed == ["2.0.0", "2.0.0-rc.1", "1.10.0", "1.9.0", "1.2.0"]


async def test_a_definition_is_created_once_and_then_replaced(desk: Desk) -> None:
    first = await desk.definitions.put(APP, v("1.0.0"), GENERAL, CREATE)
    second = await desk.definitions.put(APP, v("1.0.0"), SUSPENDED, required(tag(first.record)))
    assert (first.created, second.created) == (True, False)
    assert tag(first.record) != tag(second.record)
    assert desk.definitions.get(APP, v("1.0.0")) == second.record


async def test_writing_the_same_changes_neither_revision_nor_time(desk: Desk) -> None:
    first = await desk.define("1.0.0")
    desk.clock.at += timedelta(hours=1)
    assert (await desk.define("1.0.0")).record == first.record


async def test_a_change_takes_the_present_as_its_time_and_keeps_the_creation(desk: Desk) -> None:
    first = await desk.define("1.0.0")
    desk.clock.at += timedelta(hours=1)
    second = await desk.define("1.0.0", metadata={"description": "new"})
    assert second.record.created_at == first.record.created_at
    assert second.record.updated_at == desk.clock.at


async def test_what_exists_is_not_replaced_without_a_precondition(desk: Desk) -> None:
    await desk.define("1.0.0")
    with pytest.raises(PreconditionRequiredError):
        await desk.definitions.put(APP, v("1.0.0"), SUSPENDED, CREATE)
    with pytest.raises(PreconditionFailedError):
        await desk.definitions.put(APP, v("1.0.0"), SUSPENDED, required("0-0"))
    with pytest.raises(PreconditionFailedError):
        await desk.definitions.put(APP, v("1.0.0"), SUSPENDED, Precondition(absent=True))
    assert desk.definitions.get(APP, v("1.0.0")).software.servable


async def test_a_tag_does_not_come_back_after_a_deletion(desk: Desk) -> None:
    first = await desk.define("1.0.0")
    await desk.definitions.delete(APP, v("1.0.0"), UNCONDITIONAL)
    desk.clock.at += timedelta(seconds=1)
    assert tag((await desk.define("1.0.0")).record) != tag(first.record)


async def test_versions_that_differ_in_build_metadata_only_conflict(desk: Desk) -> None:
    await desk.define("1.0.0+a")
    with pytest.raises(VersionConflict):
        await desk.definitions.put(APP, v("1.0.0+b"), GENERAL, UNCONDITIONAL)
    assert [record.software.version.text for record in desk.definitions.all(APP)] == ["1.0.0+a"]


async def test_a_software_is_found_only_as_it_is_written(desk: Desk) -> None:
    await desk.define("1.0.0+a")
    with pytest.raises(NotFoundError) as caught:
        desk.definitions.get(APP, v("1.0.0"))
    assert caught.value.code == "software-not-found"
    with pytest.raises(NotFoundError):
        await desk.definitions.recall(APP, v("1.0.0+b"))
    with pytest.raises(NotFoundError):
        await desk.definitions.delete(APP, v("1.0.0"), UNCONDITIONAL)


async def test_an_unknown_application_has_no_software(desk: Desk) -> None:
    with pytest.raises(NotFoundError) as caught:
        await desk.definitions.put("other", v("1.0.0"), GENERAL, CREATE)
    assert caught.value.code == "application-not-found"


async def test_a_filter_that_is_listed_must_exist(desk: Desk) -> None:
    listing = definition('{"rolloutStrategy":"targeted","filters":[{"filterId":"canary"}]}')
    with pytest.raises(FilterUnknownError):
        await desk.definitions.put(APP, v("1.0.0"), listing, CREATE)
    await desk.group("canary", "attributes.ring == 1")
    assert (await desk.definitions.put(APP, v("1.0.0"), listing, CREATE)).created


async def test_a_specification_is_free_until_it_was_offered_and_frozen_then(desk: Desk) -> None:
    await desk.define("1.0.0", "*")
    changed = await desk.define("1.0.0", "*", specification={"link": "other"})
    assert changed.record.specification == '{"link":"other"}'
    await desk.enrol("e1")
    assert await desk.offer_of("e1") == "1.0.0"
    with pytest.raises(SpecificationFrozenError):
        await desk.define("1.0.0", "*", specification={"link": "third"})
    with pytest.raises(SpecificationFrozenError):
        await desk.define("1.0.0", "*", specification=None)


async def test_everything_but_the_specification_changes_after_an_offer(desk: Desk) -> None:
    await desk.define("1.0.0", "*")
    await desk.enrol("e1")
    changed = await desk.define("1.0.0", "^0.9.0", metadata={"note": 1}, rollout={"attempts": {"max": 1}})
    assert changed.record.offered_at is not None
    assert changed.record.upgradable_from == ("^0.9.0",)
    assert changed.record.software.policy.attempts.max == 1


async def test_the_freeze_is_kept_when_the_service_starts_again(desk: Desk) -> None:
    await desk.define("1.0.0", "*")
    await desk.enrol("e1")
    [entry] = await desk.storage.entries()
    assert entry.software[v("1.0.0")].offered_at == desk.clock.at


async def test_a_specification_is_stored_as_it_was_written(desk: Desk) -> None:
    text = '{"b": 1.10, "a": [1e400, "\\u00e9\\/", "é"], "big": 12345678901234567890123, "n": -0.0}'
    body = f'{{"rolloutStrategy":"general","specification":{text},"metadata":{{"z": 1.0, "a": null}}}}'
    await desk.definitions.put(APP, v("1.0.0"), definition(body), CREATE)
    [entry] = await desk.storage.entries()
    record = entry.software[v("1.0.0")]
    # Between members only; the strings have no blanks.
    assert record.specification == text.replace(" ", "")
    assert record.metadata == '{"z":1.0,"a":null}'


async def test_a_patch_is_made_of_what_is_stored_inside_the_transaction(desk: Desk) -> None:
    await desk.define("1.0.0", metadata={"a": 1})

    def revised(record: SoftwareRecord) -> Definition:
        members = json.loads(texts.build(documents.build(record)))
        kept = {name: members[name] for name in ("upgradableFrom", "filters", "specification", "metadata")}
        return definition(json.dumps({**kept, "rolloutStrategy": "suspended"}))

    patched = await desk.definitions.patch(APP, v("1.0.0"), revised, UNCONDITIONAL)
    assert patched.record.software.stopped
    assert patched.record.metadata == '{"a":1}'


async def test_a_patch_requires_a_precondition_and_something_to_patch(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        await desk.definitions.patch(APP, v("1.0.0"), lambda _: GENERAL, UNCONDITIONAL)
    await desk.define("1.0.0")
    with pytest.raises(PreconditionRequiredError):
        await desk.definitions.patch(APP, v("1.0.0"), lambda _: GENERAL, CREATE)


async def test_a_recall_says_how_many_offers_end_and_is_final(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    for name in ("e1", "e2", "e3"):
        await desk.enrol(name, "1.0.0")
    await desk.report("e3", "1.1.0")
    recalled = await desk.definitions.recall(APP, v("1.1.0"), by=ANONYMOUS.because("it bricks"))
    assert recalled.withdrawn == 2
    assert recalled.record.software.recalled_at == desk.clock.at
    again = await desk.define("1.1.0", "1.0.0", metadata={"a": 1})
    assert again.record.software.recalled_at == recalled.record.software.recalled_at


async def test_a_second_recall_changes_nothing(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    first = await desk.definitions.recall(APP, v("1.1.0"))
    desk.clock.at += timedelta(hours=1)
    assert (await desk.definitions.recall(APP, v("1.1.0"))).record == first.record


async def test_a_recall_moves_endpoints_off_along_edges(desk: Desk) -> None:
    await desk.define("1.0.0", "1.1.0")
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.1.0")
    assert await desk.offer_of("e1") is None
    await desk.definitions.recall(APP, v("1.1.0"))
    await desk.sweep()
    assert await desk.offer_of("e1") == "1.0.0"


async def test_a_suspension_says_how_many_offers_end(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    assert (await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")).withdrawn == 1
    await desk.sweep()
    assert await desk.offer_of("e1") is None
    assert (await desk.define("1.1.0", "1.0.0")).withdrawn == 0
    await desk.sweep()
    assert await desk.offer_of("e1") == "1.1.0"


async def test_a_deletion_says_how_many_offers_end(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("e1", "1.0.0")
    assert await desk.definitions.delete(APP, v("1.1.0"), UNCONDITIONAL) == 1
    await desk.sweep()
    assert await desk.offer_of("e1") is None
    assert desk.definitions.all(APP) == []
