"""The files of the pages: all there, nothing else, and asked for once."""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from orchestrator.dashboard.assets import FILES
from tests.unit.orchestrator.dashboard.visits import check_headers

if TYPE_CHECKING:
    from tests.system.rests import Rest

STATIC = resources.files("orchestrator.dashboard") / "static"


def test_every_file_is_listed() -> None:
    assert {item.name for item in STATIC.iterdir()} == set(FILES)


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
async def test_a_file_is_answered_once(rest: Rest, name: str, media_type: str) -> None:
    first = await rest.client.get(f"/static/{name}")
    assert (first.status_code, first.headers["content-type"]) == (200, media_type)
    assert first.content == (STATIC / name).read_bytes()
    check_headers(first)
    again = await rest.client.get(f"/static/{name}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    changed = await rest.client.get(f"/static/{name}", headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200


@pytest.mark.parametrize("name", ["gone.js", "..%2Fsites.py", "%2e%2e%2fsites.py", "__init__.py"])
async def test_nothing_else_is_answered(rest: Rest, name: str) -> None:
    assert (await rest.client.get(f"/static/{name}")).status_code == 404


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_place(name: str) -> None:
    text = (STATIC / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)
