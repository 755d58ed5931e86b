"""Signing in and out, and what a viewer's pages leave out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from orchestrator import keys
from orchestrator.api.access import Access
from orchestrator.api.keyrings import Keyring
from orchestrator.api.sessions import Sessions
from orchestrator.keys import Role
from tests.system.rests import open_rest
from tests.unit.orchestrator.dashboard.visits import check_headers, post, visit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.system.rests import Rest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FLEET = "/applications/smart-kettle"


@pytest_asyncio.fixture
async def locked(tmp_path: Path) -> AsyncIterator[tuple[Rest, Path]]:
    """A service that asks for keys, and their file."""
    file = tmp_path / "keys"
    passes = iter(range(0, 10**9, 10))
    keyring = Keyring(file, lambda: float(next(passes)))
    access = Access(keyring=keyring, sessions=Sessions(lambda: 0.0), refused=lambda: None)
    async with open_rest(tmp_path, access=access) as rest:
        await rest.put("/api/v1" + FLEET, {"appVersions": ["v1"]})
        yield rest, file


def create(file: Path, name: str, role: Role = Role.OPERATOR) -> str:
    return keys.create(file, name, role, NOW)


async def test_without_keys_nobody_signs_in(rest: Rest) -> None:
    for answer in (await rest.client.get("/login?next=/a"), await post(rest, "/login", next="/a", key="x")):
        assert (answer.status_code, answer.headers["location"]) == (303, "/a")
        assert "set-cookie" not in answer.headers
    assert (await post(rest, "/logout", do="x")).status_code == 303


async def test_whoever_holds_a_key_signs_in_and_out(locked: tuple[Rest, Path]) -> None:
    rest, file = locked
    key = create(file, "alice")
    answer = await rest.client.get(FLEET)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={FLEET}")
    form = await visit(rest, answer.headers["location"])
    (target,) = [item.attributes["value"] for item in form.elements if item.attributes.get("name") == "next"]
    assert target == FLEET
    answer = await post(rest, "/login", key=f" {key} ", next=target)
    assert (answer.status_code, answer.headers["location"]) == (303, FLEET)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("otao_session=")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert key not in cookie
    assert "alice Sign out" in (await visit(rest, FLEET)).text
    await post(rest, f"{FLEET}/freeze", reason="stop")
    assert (await rest.get(f"/api/v1{FLEET}/freeze"))["by"] == "alice"
    session = dict(rest.client.cookies)
    answer = await post(rest, "/logout", do="x")
    assert answer.headers["location"] == "/login"
    assert (await rest.client.get(FLEET)).status_code == 303
    rest.client.cookies.update(session)
    assert (await rest.client.get(FLEET)).status_code == 303


async def test_over_an_encrypted_connection_the_cookie_stays_on_such(locked: tuple[Rest, Path]) -> None:
    rest, file = locked
    answer = await post(rest, "https://localhost/login", key=create(file, "alice"))
    assert "Secure" in answer.headers["set-cookie"].split("; ")


async def test_a_wrong_key_is_refused_and_not_repeated(locked: tuple[Rest, Path]) -> None:
    rest, file = locked
    wrong = create(file, "alice") + "x"
    answer = await post(rest, "/login", key=wrong, next=FLEET)
    assert answer.status_code == 403
    check_headers(answer)
    assert "This is no key of this service" in answer.text
    assert wrong not in answer.text
    assert "set-cookie" not in answer.headers
    assert (await post(rest, "/login", next=FLEET)).status_code == 403


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", ""]
)
async def test_the_way_back_leads_nowhere_else(locked: tuple[Rest, Path], target: str) -> None:
    rest, file = locked
    answer = await post(rest, "/login", key=create(file, "alice"), next=target)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_a_viewer_is_shown_no_buttons_and_has_none(locked: tuple[Rest, Path]) -> None:
    rest, file = locked
    await rest.put(f"/api/v1{FLEET}/endpoints/a", {})
    await post(rest, "/login", key=create(file, "wall", Role.VIEWER))
    for path in (FLEET, "/applications", f"{FLEET}/endpoints/a"):
        page = await visit(rest, path)
        assert "wall, who only reads" in page.text
        assert [form for form in page.forms() if not form.endswith("/endpoints")] == ["/logout"]
    assert (await post(rest, f"{FLEET}/freeze", reason="x")).status_code == 403


async def test_a_broken_file_of_keys_is_said(locked: tuple[Rest, Path]) -> None:
    rest, file = locked
    file.write_text("nonsense")
    answer = await post(rest, "/login", key="x")
    assert answer.status_code == 503
    assert "nobody is let in" in answer.text
