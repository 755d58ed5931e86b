"""API keys on a running service: from the first one on nobody else is served, and a revoked one no more."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_SECONDS = 30.0
OTAO = (sys.executable, "-c", "from orchestrator.cli.main import main; main()")
APPLICATIONS = "/api/v1/applications"


def environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTAO_")}
    path = os.pathsep.join(path for path in sys.path if path)
    return inherited | {"PYTHONPATH": path, "OTAO_API_KEYS_FILE": str(folder / "keys")}


def otao(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*OTAO, *arguments],
        capture_output=True,
        check=True,
        cwd=folder,
        env=environment(folder),
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    return done.stdout.strip()


@contextmanager
def serve(folder: Path, listen: str = "127.0.0.1:0") -> Iterator[httpx2.Client]:
    """A client of a service whose broker is away."""
    command = [*OTAO, "serve", "--listen", listen, "--mqtt-url", "mqtt://127.0.0.1:9"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], DEADLINE_SECONDS)[0]
        address = process.stdout.readline().split()[1].replace("0.0.0.0", "127.0.0.1")
        with httpx2.Client(base_url=address, timeout=DEADLINE_SECONDS, trust_env=False) as opened:
            yield opened
        process.kill()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx2.Client]:
    with serve(tmp_path) as opened:
        yield opened


def until(client: httpx2.Client, status: int, **headers: str) -> httpx2.Response:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        response = client.get(APPLICATIONS, headers=headers)
        if response.status_code == status:
            return response
        assert time.monotonic() < deadline, response.text
        select.select([], [], [], 0.05)


def test_keys_count_as_soon_as_they_are_made_and_no_longer_than_until_they_are_revoked(
    client: httpx2.Client, tmp_path: Path
) -> None:
    assert client.get(APPLICATIONS).status_code == 200
    alice = otao(tmp_path, "keys", "create", "alice")
    refused = until(client, 401)
    assert refused.headers["www-authenticate"] == 'Bearer realm="otao"'
    assert refused.json()["code"] == "unauthorized"
    headers = {"Authorization": f"Bearer {alice}"}
    created = client.put(f"{APPLICATIONS}/kettle", json={"appVersions": ["v1"]}, headers=headers)
    assert created.status_code == 201

    wall = {"Authorization": f"Bearer {otao(tmp_path, 'keys', 'create', 'wall', '--role', 'viewer')}"}
    until(client, 200, **wall)
    forbidden = client.delete(f"{APPLICATIONS}/kettle", headers=wall)
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")

    otao(tmp_path, "keys", "revoke", "alice")
    until(client, 401, **headers)
    assert "otao_api_keys_refused_total" in client.get("/metrics").text
    assert client.get("/livez").status_code == 200
    assert alice not in (tmp_path / "log").read_text()


def test_a_stream_ends_with_its_key(client: httpx2.Client, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {otao(tmp_path, 'keys', 'create', 'alice')}"}
    until(client, 200, **headers)
    client.put(f"{APPLICATIONS}/kettle", json={"appVersions": ["v1"]}, headers=headers)
    with client.stream("GET", f"{APPLICATIONS}/kettle/events", headers=headers) as stream:
        pieces = stream.iter_text()
        assert "retry: " in next(pieces)
        otao(tmp_path, "keys", "revoke", "alice")
        for _ in pieces:
            pass
    assert until(client, 401, **headers).status_code == 401
    assert "error" not in (tmp_path / "log").read_text()


def test_with_a_key_others_may_reach_the_service(tmp_path: Path) -> None:
    key = otao(tmp_path, "keys", "create", "alice")
    with serve(tmp_path, "0.0.0.0:0") as client:
        assert client.get(APPLICATIONS).status_code == 401
        assert client.get(APPLICATIONS, headers={"Authorization": f"Bearer {key}"}).status_code == 200
