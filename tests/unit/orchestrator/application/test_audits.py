"""The audit: every change by an operator with who and why, before and after; never a credential."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.application.audits import Action
from orchestrator.application.authors import Author, Via
from orchestrator.application.preconditions import tag_of
from orchestrator.application.problems import PreconditionRequiredError
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.filters import Filter
from orchestrator.domain.versions import Version
from tests.unit.orchestrator.application.desks import (
    APP,
    CREATE,
    application_body,
    definition,
    endpoint_body,
    open_desk,
    required,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.orchestrator.application.desks import Desk

ANNE = Author(name="anne", via=Via.REST, reason="ticket 7")
V1 = Version.parse("1.0.0")
BODY = '{"rolloutStrategy": "general", "specification": {"password": "hunter2"}}'


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def last(desk: Desk) -> dict[str, Any]:
    stored = (await desk.audits.list(APP, None, 1))[0]
    assert desk.bells.changes[-1] == stored.entry
    entry = stored.entry
    return {
        "who": (entry.author.name, entry.author.via.value, entry.author.reason),
        "what": (entry.action, entry.resource),
        "before": None if entry.before is None else json.loads(entry.before),
        "after": None if entry.after is None else json.loads(entry.after),
    }


async def test_a_software_is_kept_with_the_digest_of_its_specification_and_never_the_text(desk: Desk) -> None:
    await desk.definitions.put(APP, V1, definition(BODY), CREATE, by=ANNE)
    entry = await last(desk)
    assert entry["who"] == ("anne", "rest", "ticket 7")
    assert entry["what"] == (Action.SOFTWARE_PUT, "software/1.0.0")
    assert entry["before"] is None
    assert len(entry["after"]["specification"]["sha256"]) == 64
    assert "hunter2" not in json.dumps(entry, default=str)


async def test_what_changes_nothing_is_not_kept(desk: Desk) -> None:
    await desk.definitions.put(APP, V1, definition(BODY), CREATE, by=ANNE)
    amount = len(await desk.audits.list(None, None, 100))
    record = desk.definitions.get(APP, V1)
    tag = required(tag_of(record, record.created_at))
    await desk.definitions.put(APP, V1, definition(BODY), tag, by=ANNE)
    with pytest.raises(PreconditionRequiredError):
        await desk.definitions.put(APP, V1, definition(BODY), CREATE, by=ANNE)
    assert len(await desk.audits.list(None, None, 100)) == amount


async def test_recall_filters_endpoints_and_deletions_are_kept_with_before_and_after(desk: Desk) -> None:
    await desk.definitions.put(APP, V1, definition(BODY), CREATE, by=ANNE)
    await desk.definitions.recall(APP, V1, by=ANNE.because("it bricks"))
    recalled = await last(desk)
    assert recalled["who"][2] == "it bricks"
    assert (recalled["before"]["recalledAt"], recalled["after"]["recalledAt"] is None) == (None, False)

    await desk.groups.put(APP, Filter(filter_id="lab", expression="attributes.a == 1"), None, CREATE, by=ANNE)
    assert (await last(desk))["after"]["expression"] == "attributes.a == 1"
    await desk.groups.delete(APP, "lab", required("*"), by=ANNE)
    assert (await last(desk))["what"] == (Action.FILTER_DELETE, "filters/lab")

    await desk.endpoints.put(APP, "e1", endpoint_body(token="secret-token"), CREATE, by=ANNE)
    await desk.endpoints.change_token(APP, "e1", TokenState.SUSPENDED, None, by=ANNE)
    suspended = await last(desk)
    assert suspended["what"] == (Action.ENDPOINT_TOKEN, "endpoints/e1")
    assert (suspended["before"]["tokenState"], suspended["after"]["tokenState"]) == ("active", "suspended")
    assert "secret-token" not in json.dumps(suspended, default=str)
    await desk.endpoints.delete(APP, "e1", required("*"), by=ANNE)
    assert (await last(desk))["after"] is None


async def test_the_list_is_newest_first_by_application_and_in_pages(desk: Desk) -> None:
    await desk.applications.put("other", application_body(appVersions=["other-v1"]), CREATE, by=ANNE)
    await desk.define("1.0.0")
    await desk.define("1.1.0", "1.0.0")
    every = await desk.audits.list(None, None, 100)
    assert [item.number for item in every] == sorted((item.number for item in every), reverse=True)
    assert {item.entry.application for item in every} == {APP, "other"}
    mine = await desk.audits.list(APP, None, 2)
    assert [item.entry.resource for item in mine] == ["software/1.1.0", "software/1.0.0"]
    older = await desk.audits.list(APP, mine[-1].number, 2)
    assert [item.entry.resource for item in older] == [f"applications/{APP}"]


async def test_the_entry_is_in_the_transaction_of_the_change(desk: Desk) -> None:
    class Stop(Exception):
        pass

    before = len(await desk.audits.list(None, None, 100))

    async def interrupted() -> None:
        async with desk.revisions.open(APP, stops=False, by=ANNE) as revision:
            await revision.audit(Action.FILTER_PUT, "filters/x", None, "{}")
            raise Stop

    with pytest.raises(Stop):
        await interrupted()
    assert len(await desk.audits.list(None, None, 100)) == before


async def test_a_deleted_application_keeps_its_entries(desk: Desk) -> None:
    await desk.applications.delete(APP, required("*"), by=ANNE)
    entries = await desk.audits.list(APP, None, 10)
    assert [item.entry.action for item in entries] == [Action.APPLICATION_DELETE, Action.APPLICATION_PUT]
