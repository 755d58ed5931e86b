"""Filters over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from tests.system.rests import Rest

FILTERS = f"{KETTLE}/filters"
LAB = {"expression": "attributes.site == 'lab'"}


@pytest.fixture
async def kettle(rest: Rest) -> Rest:
    await add_application(rest)
    return rest


async def test_a_filter_is_created_read_changed_and_deleted(kettle: Rest) -> None:
    created = await kettle.send("PUT", f"{FILTERS}/canary", {**LAB, "description": "first"})
    assert (created.status_code, created.json()) == (201, {"filterId": "canary", **LAB, "description": "first"})
    assert await kettle.get(f"{FILTERS}/canary") == created.json()
    tag = created.headers["etag"]
    assert await kettle.refused("PUT", f"{FILTERS}/canary", LAB) == (428, "precondition-required")
    changed = await kettle.send("PUT", f"{FILTERS}/canary", {**created.json(), "description": None}, if_match=tag)
    assert (changed.status_code, changed.json()["description"]) == (200, None)
    assert await kettle.refused("DELETE", f"{FILTERS}/canary", if_match=tag) == (412, "precondition-failed")
    assert (await kettle.send("DELETE", f"{FILTERS}/canary", if_match=changed.headers["etag"])).status_code == 204
    assert await kettle.refused("GET", f"{FILTERS}/canary") == (404, "filter-not-found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "member-missing"),
        ({"expression": ""}, "filter-syntax"),
        ({"expression": "attributes"}, "filter-syntax"),
        ({"expression": "x" * 5000}, "filter-syntax"),
        ({"expression": "(" * 200 + "true" + ")" * 200}, "filter-syntax"),
        ({"expression": "attributes.tags.exists(tag, tag == 'a')"}, "filter-syntax"),
        ({"expression": "endpointId.matches('^k')"}, "filter-syntax"),
        ({"expression": 1}, "member-type"),
        ({"expression": "attributes.a == 1", "filterId": "other"}, "member-read-only"),
        ({"expression": "attributes.a == 1", "colour": "red"}, "member-unknown"),
    ],
)
async def test_a_wrong_filter_is_refused(kettle: Rest, body: object, code: str) -> None:
    assert await kettle.refused("PUT", f"{FILTERS}/canary", body) == (422, code)
    assert (await kettle.get(FILTERS))["items"] == []


async def test_a_syntax_error_names_its_column(kettle: Rest) -> None:
    answer = await kettle.send("PUT", f"{FILTERS}/canary", {"expression": "attributes.a = 1"})
    assert "column 14" in answer.json()["detail"]


@pytest.mark.parametrize("filter_id", ["a.b", "x" * 65, "a%20b"])
async def test_an_identifier_that_no_filter_may_have_is_refused(kettle: Rest, filter_id: str) -> None:
    assert await kettle.refused("PUT", f"{FILTERS}/{filter_id}", LAB) == (422, "filter-id-invalid")


async def test_a_filter_in_use_is_not_deleted(kettle: Rest) -> None:
    await kettle.put(f"{FILTERS}/canary", LAB)
    await add_software(kettle, "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "canary"}])
    assert await kettle.refused("DELETE", f"{FILTERS}/canary", if_match="*") == (409, "filter-in-use")
    await kettle.send("DELETE", f"{KETTLE}/software/1.0.0", if_match="*")
    assert (await kettle.send("DELETE", f"{FILTERS}/canary", if_match="*")).status_code == 204


async def test_another_expression_is_another_group(kettle: Rest) -> None:
    await kettle.put(f"{FILTERS}/canary", LAB)
    await add_software(kettle, "1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "canary"}])
    await add_endpoint(kettle, "lab", "1.0.0", attributes={"site": "lab"})
    await add_endpoint(kettle, "field", "1.0.0", attributes={"site": "field"})
    assert (await kettle.get(f"{KETTLE}/endpoints/lab"))["offer"]["version"] == "1.1.0"
    closings = kettle.gate.closings
    await kettle.put(f"{FILTERS}/canary", {"expression": "attributes.site == 'field'"}, if_match="*")
    assert kettle.gate.closings == closings + 1
    await kettle.sweep()
    assert (await kettle.get(f"{KETTLE}/endpoints/lab"))["offer"] is None
    assert (await kettle.get(f"{KETTLE}/endpoints/field"))["offer"]["version"] == "1.1.0"


async def test_a_filter_that_nothing_lists_gives_no_work(kettle: Rest) -> None:
    await add_endpoint(kettle, "k", "1.0.0")
    await kettle.put(f"{FILTERS}/canary", LAB)
    await kettle.put(f"{FILTERS}/canary", {"expression": "attributes.a == 1"}, if_match="*")
    assert await kettle.storage.works() == []


async def test_matches_are_listed_in_parts(kettle: Rest) -> None:
    await kettle.put(f"{FILTERS}/canary", LAB)
    for number in range(3):
        await add_endpoint(kettle, f"lab-{number}", attributes={"site": "lab"})
        await add_endpoint(kettle, f"field-{number}", attributes={"site": 1})
    first = await kettle.get(f"{FILTERS}/canary/endpoints?limit=2")
    assert [item["endpointId"] for item in first["items"]] == ["lab-0", "lab-1"]
    second = await kettle.get(f"{FILTERS}/canary/endpoints?limit=2&cursor={first['next']}")
    assert ([item["endpointId"] for item in second["items"]], second["next"]) == (["lab-2"], None)
    assert await kettle.refused("GET", f"{FILTERS}/other/endpoints") == (404, "filter-not-found")


async def test_filters_are_listed_in_parts(kettle: Rest) -> None:
    for name in ("b", "a", "c"):
        await kettle.put(f"{FILTERS}/{name}", LAB)
    first = await kettle.get(f"{FILTERS}?limit=2")
    assert [item["filterId"] for item in first["items"]] == ["a", "b"]
    second = await kettle.get(f"{FILTERS}?limit=2&cursor={first['next']}")
    assert ([item["filterId"] for item in second["items"]], second["next"]) == (["c"], None)
