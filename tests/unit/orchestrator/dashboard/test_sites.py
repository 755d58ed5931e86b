"""Pages and REST live in one application, and do not know of each other's paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.system.rests import Rest


async def test_pages_are_not_in_the_openapi_document(rest: Rest) -> None:
    paths = (await rest.get("/api/v1/openapi.json"))["paths"]
    assert [path for path in paths if not path.startswith(("/api/v1/", "/livez", "/readyz", "/metrics"))] == []


async def test_a_path_of_nobody_stays_a_problem(rest: Rest) -> None:
    assert await rest.refused("GET", "/nowhere") == (404, "not-found")
    assert await rest.refused("PUT", "/applications") == (405, "method-not-allowed")


async def test_a_name_that_nobody_set_up_gets_no_page(rest: Rest) -> None:
    answer = await rest.client.get("/", headers={"Host": "evil.example"})
    assert answer.status_code == 421
