"""Every list that the OpenAPI document has is read in parts in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.api import cursors
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from tests.system.rests import Json, Rest

NAMES = {"app": "smart-kettle", "filter_id": "f1", "endpoint_id": "e1", "version": "1.1.0"}
LISTS = {
    "/api/v1/applications",
    "/api/v1/applications/{app}/attention",
    "/api/v1/applications/{app}/audit",
    "/api/v1/applications/{app}/endpoints",
    "/api/v1/applications/{app}/endpoints/{endpoint_id}/history",
    "/api/v1/applications/{app}/filters",
    "/api/v1/applications/{app}/filters/{filter_id}/endpoints",
    "/api/v1/audit",
}


@pytest.fixture
async def full(rest: Rest) -> Rest:
    """At least three items in every list."""
    await add_application(rest)
    for number in (2, 3):
        await rest.put(f"/api/v1/applications/other-{number}", {"appVersions": [f"other-{number}"]})
    await add_software(rest, "1.1.0", "1.0.0")
    for number in (1, 2, 3):
        await rest.put(f"{KETTLE}/filters/f{number}", {"expression": "attributes.ring == 1"})
        await add_endpoint(rest, f"e{number}", "1.0.0", attributes={"ring": 1})
        await rest.report(f"e{number}", "1.1.0", 500, "no room left")
    return rest


async def lists(rest: Rest) -> dict[str, str]:
    """The paths of all lists, by their template."""
    paths = (await rest.get("/api/v1/openapi.json"))["paths"]
    return {
        path: path.format(**NAMES)
        for path, calls in paths.items()
        if any(item["name"] == "cursor" for item in calls.get("get", {}).get("parameters", []))
    }


async def test_all_lists_have_parts_and_software_is_whole(full: Rest) -> None:
    assert (await lists(full)).keys() == LISTS
    assert isinstance(await full.get(f"{KETTLE}/software"), list)


async def test_the_parts_of_every_list_make_up_the_whole(full: Rest) -> None:
    for path in (await lists(full)).values():
        whole = await full.get(f"{path}?limit=500")
        assert len(whole["items"]) >= 3, path
        assert whole["next"] is None
        found: list[Json] = []
        following: str | None = f"{path}?limit=1"
        while following:
            response = await full.send("GET", following)
            part = response.json()
            assert len(part["items"]) == 1, path
            found += part["items"]
            link = response.headers.get("link")
            assert (link is None) == (part["next"] is None)
            following = None if link is None else link.removeprefix("<").removesuffix('>; rel="next"')
        assert found == whole["items"]


async def test_no_list_takes_the_cursor_of_another_or_none_at_all(full: Rest) -> None:
    given = {path: (await full.get(f"{path}?limit=1"))["next"] for path in (await lists(full)).values()}
    for path, own in given.items():
        others = {cursor for cursor in given.values() if cursor[:6] != own[:6]}
        for cursor in ("", "rubbish", f"{own}=", *others, cursors.build("nothing", "1")):
            assert await full.refused("GET", f"{path}?cursor={cursor}") == (400, "cursor-invalid"), path


@pytest.mark.parametrize("limit", ["0", "501", "-1", "x", "1.5", ""])
async def test_every_list_bounds_its_limit(full: Rest, limit: str) -> None:
    for path in (await lists(full)).values():
        assert await full.refused("GET", f"{path}?limit={limit}") == (400, "parameter-invalid"), path
