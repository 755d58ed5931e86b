"""Applications: whose versions they are, what follows from a change, what keeps one from going."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application import preconditions
from orchestrator.application.preconditions import UNCONDITIONAL, Precondition
from orchestrator.application.problems import (
    ApplicationInUseError,
    AppVersionInUseError,
    NotFoundError,
    PreconditionFailedError,
    PreconditionRequiredError,
)
from orchestrator.application.records import AppVersionTakenError, PushMode, Registration
from protocol.configurations import Profile
from tests.unit.orchestrator.application.desks import APP, CREATE, application_body, required

if TYPE_CHECKING:
    from orchestrator.application.records import Application
    from tests.unit.orchestrator.application.desks import Desk


def tag(application: Application) -> str:
    return preconditions.tag_of(application, application.created_at)


async def put(desk: Desk, **members: object) -> Application:
    stored, created = await desk.applications.put(APP, application_body(**members), UNCONDITIONAL)
    assert not created
    return stored


async def works(desk: Desk) -> int:
    return len(await desk.storage.works())


async def test_what_was_not_said_has_defaults(desk: Desk) -> None:
    application = desk.applications.get(APP)
    assert application.app_versions == ("kettle-v1",)
    assert (application.profile, application.push) == (Profile.KAA, PushMode.RETAINED)
    assert application.registration is Registration.CLOSED
    assert application.created_at == desk.clock.at


async def test_applications_are_listed_by_name(desk: Desk) -> None:
    for name in ("zebra", "ant"):
        await desk.applications.put(name, application_body(appVersions=[name]), CREATE)
    assert [item.name for item in desk.applications.all()] == ["ant", APP, "zebra"]


async def test_an_unknown_one_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="no application 'gone'"):
        desk.applications.get("gone")
    with pytest.raises(NotFoundError):
        await desk.applications.delete("gone", UNCONDITIONAL)


async def test_what_is_stored_is_what_a_restart_finds(desk: Desk) -> None:
    await put(desk, registration="open", profile="rfc7", push="live", operatorKeys=["ring"], description="d")
    (entry,) = await desk.storage.entries()
    assert entry.application == desk.applications.get(APP)


async def test_an_application_version_belongs_to_one_application(desk: Desk) -> None:
    with pytest.raises(AppVersionTakenError, match="kettle-v1"):
        await desk.applications.put("other", application_body(), CREATE)
    assert [item.name for item in desk.applications.all()] == [APP]
    entry = desk.directory.by_app_version("kettle-v1")
    assert entry is not None
    assert entry.application.name == APP


async def test_an_application_version_stays_while_endpoints_have_it(desk: Desk) -> None:
    await put(desk, appVersions=["kettle-v1", "kettle-v2"])
    await desk.enrol("e1", appVersion="kettle-v1")
    with pytest.raises(AppVersionInUseError):
        await put(desk, appVersions=["kettle-v2"])
    await desk.endpoints.delete(APP, "e1", UNCONDITIONAL)
    assert (await put(desk, appVersions=["kettle-v2"])).app_versions == ("kettle-v2",)
    assert desk.directory.by_app_version("kettle-v1") is None


@pytest.mark.parametrize("members", [{"profile": "rfc7"}, {"push": "live"}])
async def test_another_way_of_pushing_has_every_push_written_anew(desk: Desk, members: dict[str, str]) -> None:
    await put(desk, **members)
    assert await works(desk) == 1


@pytest.mark.parametrize("members", [{"description": "d"}, {"registration": "open"}, {"operatorKeys": ["ring"]}])
async def test_other_changes_leave_the_fleet_alone(desk: Desk, members: dict[str, object]) -> None:
    before = desk.applications.get(APP)
    assert (await put(desk, **members)).revision == before.revision + 1
    assert await works(desk) == 0


async def test_the_same_again_changes_nothing(desk: Desk) -> None:
    before = desk.applications.get(APP)
    assert await put(desk) == before
    assert desk.applications.get(APP) == before


async def test_what_exists_is_changed_only_by_who_has_seen_it(desk: Desk) -> None:
    seen = tag(desk.applications.get(APP))
    with pytest.raises(PreconditionRequiredError):
        await desk.applications.put(APP, application_body(), Precondition())
    with pytest.raises(PreconditionFailedError):
        await desk.applications.put(APP, application_body(), Precondition(absent=True))
    await desk.applications.put(APP, application_body(description="d"), required(seen))
    with pytest.raises(PreconditionFailedError):
        await desk.applications.put(APP, application_body(), required(seen))
    with pytest.raises(PreconditionFailedError):
        await desk.applications.delete(APP, required(seen))
    assert desk.applications.get(APP).description == "d"


async def test_what_does_not_exist_matches_no_tag(desk: Desk) -> None:
    with pytest.raises(PreconditionFailedError):
        await desk.applications.put("new", application_body(appVersions=["new"]), UNCONDITIONAL)


async def test_an_application_with_endpoints_is_not_deleted(desk: Desk) -> None:
    await desk.enrol("e1")
    with pytest.raises(ApplicationInUseError, match="has 1 endpoints"):
        await desk.applications.delete(APP, UNCONDITIONAL)
    assert desk.applications.get(APP).name == APP


async def test_a_deleted_application_is_gone_with_its_definitions_and_its_tag(desk: Desk) -> None:
    old = tag(desk.applications.get(APP))
    await desk.define("1.0.0")
    await desk.group("canary", "attributes.a == 1")
    await desk.applications.delete(APP, required(old))
    assert await desk.storage.entries() == []
    assert desk.directory.entries() == []
    desk.clock.at = desk.clock.at.replace(year=2027)
    again, created = await desk.applications.put(APP, application_body(), CREATE)
    assert created
    assert desk.definitions.all(APP) == []
    assert desk.groups.all(APP) == []
    assert tag(again) != old
