"""The page of an application, the list of all, and freezes by form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.documents import events
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software
from tests.unit.orchestrator.dashboard.visits import post, visit

if TYPE_CHECKING:
    from tests.system.rests import Rest

FLEET = "/applications/smart-kettle"


async def fill(rest: Rest) -> None:
    await add_application(rest)
    await add_software(rest, "1.0.0", rolloutStrategy="suspended")
    await add_software(rest, "1.1.0", "1.0.0")
    for endpoint_id, running in (("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.1.0"), ("d", None)):
        await add_endpoint(rest, endpoint_id, running)
    await rest.report("a", "1.1.0", 500, "no room left")


async def test_without_an_application_the_page_says_what_to_do(rest: Rest) -> None:
    page = await visit(rest, "/")
    assert "There is no application yet" in page.text
    assert "otao apply -f catalogue.yaml" in page.text


async def test_an_application_without_anything_says_what_to_do(rest: Rest) -> None:
    await add_application(rest)
    text = (await visit(rest, FLEET)).text
    assert "No endpoint yet" in text
    assert "Nothing has been offered yet" in text
    assert "No endpoint needs attention" in text
    assert "No software is defined yet" in text


async def test_the_only_application_is_the_first_page_and_several_are_listed(rest: Rest) -> None:
    await fill(rest)
    assert "no room left" in (await visit(rest, "/")).text
    await rest.put("/api/v1/applications/lamp", {"appVersions": ["lamp-v1"]})
    listed = await visit(rest, "/")
    assert {FLEET, "/applications/lamp"} <= set(listed.links())
    assert "smart-kettle 4 1 0 1 open" in listed.text
    assert (await visit(rest, "/applications")).text == listed.text


async def test_the_page_says_what_runs_what_is_offered_what_failed_and_why(rest: Rest) -> None:
    await fill(rest)
    page = await visit(rest, FLEET)
    for part in (
        "4 endpoints 1 offered, not started 0 installing 1 failed at their latest offer",
        "1.1.0 25 % 1 1.0.0 50 % 2 not reported yet 25 % 1",
        "Latest offer Endpoints offered 1 failed 1",
        "Version Reason Endpoints 1.1.0 no room left 1",
        "from 1.0.0: 1 offered, 1 failed",
    ):
        assert part in page.text, page.text
    assert re.search(
        r"(severe|serious|minor), \d+ a on 1\.0\.0: 1\.1\.0 failed here once, last: no room left Since", page.text
    )
    assert {f"{FLEET}/endpoints?version=1.1.0", f"{FLEET}/endpoints?state=failed", f"{FLEET}/endpoints/a"} <= set(
        page.links()
    )


async def test_attention_beyond_the_first_few_is_linked(rest: Rest) -> None:
    await fill(rest)
    for number in range(6):
        await add_endpoint(rest, f"e{number}", "1.0.0")
        await rest.report(f"e{number}", "1.1.0", 500, "no room left")
    page = await visit(rest, FLEET)
    assert f"{FLEET}/attention" in page.links()
    whole = await visit(rest, f"{FLEET}/attention")
    assert {f"{FLEET}/endpoints/e{number}" for number in range(6)} <= set(whole.links())


async def test_events_that_the_pages_listen_to_exist(rest: Rest) -> None:
    await fill(rest)
    for path in (FLEET, f"{FLEET}/endpoints/a"):
        (body,) = [item for item in (await visit(rest, path)).elements if item.tag == "body"]
        address = body.attributes["data-events"] or ""
        wrong = address.replace("types=", "types=nonsense,")
        assert address.startswith(f"{KETTLE}/events?types=")
        assert await rest.refused("GET", wrong) == (400, "parameter-invalid")
        assert set(address.partition("types=")[2].split(",")) <= events.KINDS


@pytest.mark.parametrize(
    ("path", "back", "resource"),
    [(f"{FLEET}/freeze", FLEET, f"{KETTLE}/freeze"), ("/freeze", "/applications", "/api/v1/freeze")],
)
async def test_a_form_freezes_with_a_reason_and_another_lifts(rest: Rest, path: str, back: str, resource: str) -> None:
    await fill(rest)
    answer = await post(rest, path, reason="  smoke in the lab ")
    assert (answer.status_code, answer.headers["location"]) == (303, back)
    freeze = await rest.get(resource)
    assert (freeze["frozen"], freeze["reason"], freeze["by"]) == (True, "smoke in the lab", "anonymous")
    page = await visit(rest, back)
    assert "smoke in the lab. No new offer goes out" in page.text
    assert "Freeze" not in page.text
    assert path in page.forms()
    assert "smoke in the lab" in (await visit(rest, FLEET)).text
    await post(rest, path, do="lift", reason="mended")
    assert not (await rest.get(resource))["frozen"]
    assert "smoke in the lab" not in (await visit(rest, back)).text
    actions = [item["action"] for item in (await rest.get("/api/v1/audit"))["items"]]
    assert actions[:2] == ["freeze.lift", "freeze.set"]
    assert (await rest.get("/api/v1/audit"))["items"][0]["reason"] == "mended"


async def test_a_freeze_of_all_is_lifted_where_it_was_set(rest: Rest) -> None:
    await fill(rest)
    await post(rest, "/freeze", do="freeze")
    page = await visit(rest, FLEET)
    assert "All applications are frozen" in page.text
    assert f"{FLEET}/freeze" not in page.forms()
    assert "/applications" in page.links()


async def test_a_reason_that_is_too_long_is_refused_and_changes_nothing(rest: Rest) -> None:
    await fill(rest)
    answer = await post(rest, f"{FLEET}/freeze", reason="x" * 501)
    assert answer.status_code == 422
    assert not (await rest.get(f"{KETTLE}/freeze"))["frozen"]


async def test_pages_of_other_sites_freeze_nothing(rest: Rest) -> None:
    await fill(rest)
    answer = await rest.client.post(f"{FLEET}/freeze", data={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert not (await rest.get(f"{KETTLE}/freeze"))["frozen"]


async def test_a_service_that_serves_no_endpoints_says_so(rest: Rest) -> None:
    await fill(rest)
    rest.health.append("there is no connection to the broker")
    assert "Endpoints are not served now: there is no connection to the broker." in (await visit(rest, FLEET)).text


async def test_an_application_that_is_not_there_is_a_page_too(rest: Rest) -> None:
    page = await visit(rest, "/applications/gone", 404)
    assert "there is no application" in page.text
    assert "application-not-found" in page.text
