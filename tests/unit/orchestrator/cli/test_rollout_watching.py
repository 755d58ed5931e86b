"""`otao rollout watch`: a line per change in a pipe, and how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli import rollout_watching
from tests.brokers import free_port
from tests.unit.orchestrator.cli.fake_servers import APP, FakeServer

if TYPE_CHECKING:
    from click.testing import Result

# A document that a server answers with.
Json = Any
ROLLOUT = f"GET {APP}/software/1.1.0/rollout"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(rollout_watching, "pause", waited.append)
    return waited


def rollout(confirmed: int, state: str = "running") -> Json:
    stages = [{"percent": 100.0, "confirmed": confirmed, "endpoints": 4}]
    return {"version": "1.1.0", "state": state, "stage": 0, "summary": "stage 1: waits", "stages": stages}


def watch(server: FakeServer, *words: str) -> Result:
    return server.run("rollout", "watch", "1.1.0", "-a", "kettle", *words)


def test_each_change_is_a_line_until_it_is_finished(server: FakeServer, waits: list[float]) -> None:
    for document in (rollout(1), rollout(1), rollout(2, "waiting-approval"), rollout(4, "finished")):
        server.on(ROLLOUT, document)
    result = watch(server)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [(line[0], line[1], "confirmed=" + line[2].partition("confirmed=")[2][0]) for line in lines] == [
        ("running", "1/1", "confirmed=1"),
        ("waiting-approval", "1/1", "confirmed=2"),
        ("finished", "1/1", "confirmed=4"),
    ]
    assert waits == [1.0] * 3


@pytest.mark.parametrize("state", ["paused", "aborted", "recalled", "suspended"])
def test_a_rollout_that_is_stopped_ends_with_3(server: FakeServer, state: str) -> None:
    server.on(ROLLOUT, rollout(1, state))
    result = watch(server)
    assert result.exit_code == 3
    assert result.stderr == f"otao: the rollout of 1.1.0 is {state}\n"


def test_a_rollout_that_has_ended_before_its_stages_had_passed_ends_with_3(server: FakeServer) -> None:
    ended = rollout(1, "finished")
    ended["stages"] = [{**ended["stages"][0], "state": "passed"}, {"percent": 100, "state": "waiting"}]
    server.on(ROLLOUT, ended)
    result = watch(server)
    assert (result.exit_code, result.stderr) == (
        3,
        "otao: the rollout of 1.1.0 has ended before all of its stages had passed\n",
    )
    ended["stages"][1]["state"] = "passed"
    server.on(ROLLOUT, ended)
    assert watch(server).exit_code == 0


def test_once_shows_it_and_ends(server: FakeServer, waits: list[float]) -> None:
    server.on(ROLLOUT, rollout(1))
    result = watch(server, "--once")
    assert (result.exit_code, len(result.stdout.splitlines()), waits) == (0, 1, [])
    assert json.loads(watch(server, "--once", "--json").stdout) == rollout(1)


def test_a_lost_server_is_tried_again(server: FakeServer, waits: list[float]) -> None:
    server.on(ROLLOUT, rollout(1))
    server.on(ROLLOUT, {"code": "storage-error", "detail": "later", "status": 503}, 503)
    server.on(ROLLOUT, rollout(4, "finished"))
    result = watch(server)
    assert (result.exit_code, len(waits)) == (0, 2)
    assert "trying again" in result.stderr


def test_on_a_terminal_it_is_drawn(server: FakeServer, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_watching, "is_terminal", lambda: True)
    server.on(ROLLOUT, rollout(1))
    server.on(ROLLOUT, {"code": "storage-error", "detail": "later", "status": 503}, 503)
    server.on(ROLLOUT, rollout(4, "finished"))
    result = watch(server)
    assert result.exit_code == 0
    assert "1.1.0: finished, stage 1/1" in result.stdout
    assert "█" * 40 in result.stdout
    assert len(waits) == 2


def test_ctrl_c_ends_well(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout_watching, "pause", interrupt)
    server.on(ROLLOUT, rollout(1))
    assert watch(server).exit_code == 0


def test_what_cannot_begin_ends_as_every_command(server: FakeServer) -> None:
    server.refuse(ROLLOUT, 404, "software-not-found", "there is none")
    assert watch(server).exit_code == 2
    assert watch(FakeServer(url=f"http://127.0.0.1:{free_port()}")).exit_code == 4
