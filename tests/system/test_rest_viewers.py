"""What a viewer's key may ask over REST besides reading."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator import keys
from orchestrator.api.access import Access
from orchestrator.api.keyrings import Keyring
from orchestrator.api.sessions import Sessions
from orchestrator.keys import Role
from tests import databases
from tests.system.rests import KETTLE, add_application, open_rest

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TWO = {"version": "2.0.0", "rolloutStrategy": "general", "upgradableFrom": ["*"], "specification": {"link": "x"}}
CATALOGUE = {"software": [TWO]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", f"{KETTLE}/plan", {"software": TWO}, 200),
        ("POST", f"{KETTLE}/plan", {"software": TWO, "checkLinks": True}, 403),
        ("PUT", f"{KETTLE}/catalogue?dryRun=true", CATALOGUE, 200),
        ("PUT", f"{KETTLE}/catalogue?dryRun=true&checkLinks=true", CATALOGUE, 403),
        ("PUT", f"{KETTLE}/catalogue", CATALOGUE, 403),
    ],
)
async def test_a_viewer_plans_and_stores_nothing(
    tmp_path: Path, method: str, path: str, body: object, status: int
) -> None:
    file = tmp_path / "keys"
    passes = iter(range(0, 10**9, 10))
    keyring = Keyring(file, lambda: float(next(passes)))
    access = Access(keyring=keyring, sessions=Sessions(lambda: 0.0), refused=lambda: None)
    async with open_rest(tmp_path, access=access) as rest:
        await add_application(rest)
        before = await databases.dump(databases.place_in(tmp_path))
        key = keys.create(file, "wall", Role.VIEWER, NOW)
        answer = await rest.send(method, path, body, Authorization=f"Bearer {key}")
        assert (answer.status_code, answer.json().get("code")) == (status, "forbidden" if status == 403 else None)
        assert await databases.dump(databases.place_in(tmp_path)) == before
