"""A whole catalogue over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.api.catalogue import Applied
from tests import databases
from tests.system.rests import KETTLE, add_application, add_endpoint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.rests import Json, Rest

CATALOGUE = f"{KETTLE}/catalogue"
ONE = {"version": "1.0.0", "rolloutStrategy": "suspended"}
TWO = {
    "version": "1.1.0",
    "upgradableFrom": ["1.0.0"],
    "rolloutStrategy": "targeted",
    "filters": [{"filterId": "canary"}],
    "specification": {"link": "https://example.org/1.1"},
}
FILE = {
    "appVersions": ["smart-kettle-v1"],
    "registration": "open",
    "filters": {"canary": "attributes.ring == 1"},
    "software": [ONE, TWO],
}


async def apply(rest: Rest, body: object, query: str = "", **headers: str) -> Json:
    response = await rest.send("PUT", f"{CATALOGUE}{query}", body, **headers)
    assert response.status_code == 200, response.text
    Applied.model_validate_json(response.content)
    return response.json()


def changes(answer: Json) -> dict[str, str]:
    return {item["resource"]: item["change"] for item in answer["changes"]}


async def test_a_catalogue_creates_the_application_with_all_that_it_declares(rest: Rest) -> None:
    answer = await apply(rest, FILE, otao_reason="first")
    assert answer["plan"] is None
    assert changes(answer) == {
        "applications/smart-kettle": "created",
        "filters/canary": "created",
        "software/1.0.0": "created",
        "software/1.1.0": "created",
    }
    assert (await rest.get(KETTLE))["registration"] == "open"
    assert (await rest.get(f"{KETTLE}/filters/canary"))["expression"] == "attributes.ring == 1"
    assert [item["version"] for item in await rest.get(f"{KETTLE}/software")] == ["1.1.0", "1.0.0"]
    audit = (await rest.get(f"{KETTLE}/audit"))["items"]
    assert [(item["action"], item["resource"], item["reason"]) for item in reversed(audit)] == [
        ("application.put", "applications/smart-kettle", "first"),
        ("filter.put", "filters/canary", "first"),
        ("software.put", "software/1.0.0", "first"),
        ("software.put", "software/1.1.0", "first"),
    ]
    assert {str(item["before"]) for item in audit} == {"None"}
    assert "https" not in str(audit)


async def test_the_same_catalogue_again_changes_nothing(rest: Rest, tmp_path: Path) -> None:
    await apply(rest, FILE)
    tags = [(await rest.send("GET", f"{KETTLE}{path}")).headers["etag"] for path in ("", "/software/1.1.0")]
    before = await databases.dump(databases.place_in(tmp_path))
    assert set(changes(await apply(rest, FILE)).values()) == {"unchanged"}
    assert await databases.dump(databases.place_in(tmp_path)) == before
    assert tags == [(await rest.send("GET", f"{KETTLE}{path}")).headers["etag"] for path in ("", "/software/1.1.0")]


async def test_what_a_catalogue_does_not_name_is_left_alone(rest: Rest) -> None:
    await add_application(rest, push="live", description="boils", operatorKeys=["ring"])
    await rest.put(f"{KETTLE}/filters/field", {"expression": "attributes.ring == 2"})
    await apply(rest, {"registration": "open", "software": [ONE]})
    application = await rest.get(KETTLE)
    assert application["registration"] == "open"
    assert (application["push"], application["description"], application["operatorKeys"]) == ("live", "boils", ["ring"])
    assert changes(await apply(rest, {})) == {"applications/smart-kettle": "unchanged"}
    assert len((await rest.get(f"{KETTLE}/filters"))["items"]) == 1


async def test_a_change_reaches_endpoints_and_nobody_else(rest: Rest) -> None:
    await apply(rest, FILE)
    await add_endpoint(rest, "a", "1.0.0", attributes={"ring": 1})
    await add_endpoint(rest, "b", "1.0.0", attributes={"ring": 2})
    await rest.sweep()
    assert (await rest.get(f"{KETTLE}/endpoints/a"))["offer"]["version"] == "1.1.0"
    answer = await apply(rest, {"filters": {"canary": {"expression": "attributes.ring == 2", "description": "x"}}})
    assert changes(answer)["filters/canary"] == "updated"
    await rest.sweep()
    assert (await rest.get(f"{KETTLE}/endpoints/a"))["offer"] is None
    assert (await rest.get(f"{KETTLE}/endpoints/b"))["offer"]["version"] == "1.1.0"


async def test_invariant_7_a_stop_by_a_catalogue_holds_from_its_commit(rest: Rest) -> None:
    await apply(rest, FILE)
    await add_endpoint(rest, "a", "1.0.0", attributes={"ring": 1})
    await rest.sweep()
    closings = rest.gate.closings
    stop = {"software": [{**TWO, "rolloutStrategy": "suspended"}]}
    response = await rest.send("PUT", CATALOGUE, stop)
    assert response.headers["otao-withdrawn"] == "1"
    assert rest.gate.closings == closings + 1
    assert (await rest.get(f"{KETTLE}/endpoints/a"))["offer"] is None


async def test_a_dry_run_says_what_would_change_and_stores_nothing(rest: Rest, tmp_path: Path) -> None:
    before = await databases.dump(databases.place_in(tmp_path))
    answer = await apply(rest, FILE, "?dryRun=true")
    assert set(changes(answer).values()) == {"created"}
    assert answer["plan"]["endpoints"] == 0
    assert await databases.dump(databases.place_in(tmp_path)) == before
    await apply(rest, FILE)
    await add_endpoint(rest, "a", "1.0.0", attributes={"ring": 1})
    before = await databases.dump(databases.place_in(tmp_path))
    general = {"software": [{**TWO, "rolloutStrategy": "general"}, ONE]}
    answer = await apply(rest, general, "?dryRun=true&checkLinks=true")
    assert changes(answer)["software/1.1.0"] == "updated"
    assert changes(answer)["software/1.0.0"] == "unchanged"
    assert answer["plan"]["moves"] == [{"from": "1.0.0", "to": "1.1.0", "endpoints": 1}]
    assert [download.link for download in rest.downloads.asked] == ["https://example.org/1.1"]
    assert await databases.dump(databases.place_in(tmp_path)) == before


@pytest.mark.parametrize(
    ("body", "status", "code", "path"),
    [
        ({"software": [ONE]}, 422, "member-missing", "appVersions"),
        ({**FILE, "surplus": 1}, 422, "member-unknown", "surplus"),
        (
            {**FILE, "software": [ONE, {**TWO, "upgradableFrom": ["=="]}]},
            422,
            "invalid-constraint",
            "software[1].upgradableFrom[0]",
        ),
        ({**FILE, "software": [ONE, {**TWO, "rollout": {"x": 1}}]}, 422, "member-unknown", "software[1].rollout.x"),
        ({**FILE, "software": [{"rolloutStrategy": "general"}]}, 422, "member-missing", "software[0].version"),
        ({**FILE, "software": [{**ONE, "version": 1.0}]}, 422, "member-type", "software[0].version"),
        ({**FILE, "software": [ONE, "x"]}, 422, "member-type", "software[1]"),
        ({**FILE, "software": {}}, 422, "member-type", "software"),
        ({**FILE, "filters": []}, 422, "member-type", "filters"),
        (
            {**FILE, "filters": {"canary": {"expression": "x", "y": 1}}},
            422,
            "filter-syntax",
            "filters.canary.expression",
        ),
        ({**FILE, "filters": {}}, 422, "filter-unknown", "software[1].filters[0].filterId"),
        ({**FILE, "appVersions": ["taken-v1"]}, 409, "app-version-taken", "appVersions"),
        ({**FILE, "software": [ONE, {**ONE, "version": "1.0.0+b"}]}, 422, "member-invalid", "software[1].version"),
    ],
)
async def test_an_error_names_the_member_and_nothing_has_changed(
    rest: Rest, tmp_path: Path, body: object, status: int, code: str, path: str
) -> None:
    await rest.put("/api/v1/applications/other", {"appVersions": ["taken-v1"]})
    before = await databases.dump(databases.place_in(tmp_path))
    for query in ("", "?dryRun=true"):
        response = await rest.send("PUT", f"{CATALOGUE}{query}", body)
        assert (response.status_code, response.json()["code"]) == (status, code), response.text
        assert f"'{path}'" in response.json()["detail"]
    assert await databases.dump(databases.place_in(tmp_path)) == before
    assert await rest.refused("GET", KETTLE) == (404, "application-not-found")
    # What was begun is forgotten: the names are free.
    await apply(rest, FILE)


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
async def test_what_is_stored_may_forbid_a_part_and_with_it_the_whole(rest: Rest, tmp_path: Path, query: str) -> None:
    await apply(rest, FILE)
    await add_endpoint(rest, "a", "1.0.0", attributes={"ring": 1})
    before = await databases.dump(databases.place_in(tmp_path))
    offered = {**TWO, "specification": {"link": "https://example.org/other"}}
    conflict = {**ONE, "version": "1.0.0+other"}
    for body, code, path in (
        (
            {**FILE, "registration": "closed", "software": [offered]},
            "specification-frozen",
            "software[0].specification",
        ),
        (
            {**FILE, "filters": {"x": "attributes.a == 1"}, "software": [conflict]},
            "version-conflict",
            "software[0].version",
        ),
        ({"appVersions": ["smart-kettle-v2"]}, "app-version-in-use", "appVersions"),
    ):
        response = await rest.send("PUT", f"{CATALOGUE}{query}", body)
        assert (response.status_code, response.json()["code"]) == (409, code), response.text
        assert f"'{path}'" in response.json()["detail"]
    assert await databases.dump(databases.place_in(tmp_path)) == before


async def test_parameters_are_checked(rest: Rest) -> None:
    assert await rest.refused("PUT", f"{CATALOGUE}?checkLinks=true", FILE) == (400, "parameter-invalid")
    assert await rest.refused("PUT", f"{CATALOGUE}?dryRun=perhaps", FILE) == (400, "parameter-invalid")
    assert await rest.refused("PUT", f"{CATALOGUE}?dry=true", FILE) == (400, "parameter-unknown")
    assert await rest.refused("PUT", "/api/v1/applications/A/catalogue", FILE) == (422, "application-name-invalid")


async def test_a_new_profile_has_every_offer_published_anew(rest: Rest) -> None:
    await apply(rest, FILE)
    await add_endpoint(rest, "a", "1.0.0", attributes={"ring": 1})
    await rest.sweep()
    revision = await rest.storage.last_revision()
    await apply(rest, {"profile": "rfc7"})
    await rest.sweep()
    assert await rest.storage.last_revision() > revision
