"""`otao rollout …`: which calls it makes, and what it prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.orchestrator.cli.fake_servers import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.cli.fake_servers import FakeServer

# A document that a server answers with.
Json = Any


def rollout(version: str, state: str = "running", **members: Json) -> Json:
    known = {"version": version, "state": state, "stage": 0, "since": "t1", "by": None, "reason": None}
    return {**known, "summary": "stage 1: waits", "stages": [{"percent": 10.0, "confirmed": 2}, {}], **members}


def test_all_software_is_listed_with_its_rollout(server: FakeServer) -> None:
    server.on(f"GET {APP}/software", [{"version": "1.1.0"}, {"version": "1.0.5"}, {"version": "1.0.0"}])
    server.on(f"GET {APP}/software/1.1.0/rollout", rollout("1.1.0"))
    server.refuse(f"GET {APP}/software/1.0.5/rollout", 404, "software-not-found", "there is no software '1.0.5'")
    server.on(f"GET {APP}/software/1.0.0/rollout", rollout("1.0.0", "suspended", summary="the software is suspended"))
    result = server.run("rollout", "list")
    assert result.stdout.splitlines() == [
        "version\tstate\tstage\tsince\tsummary",
        "1.1.0\trunning\t1/2\tt1\tstage 1: waits",
        "1.0.0\tsuspended\t1/2\tt1\tthe software is suspended",
    ]
    lines = server.run("rollout", "list", "--json").stdout.splitlines()
    assert [json.loads(line)["version"] for line in lines] == ["1.1.0", "1.0.0"]


def test_a_list_that_is_refused_ends_with_2(server: FakeServer) -> None:
    server.on(f"GET {APP}/software", [{"version": "1.1.0"}])
    server.refuse(f"GET {APP}/software/1.1.0/rollout", 403, "forbidden", "not for you")
    assert server.run("rollout", "list").exit_code == 2


def test_a_rollout_is_shown(server: FakeServer) -> None:
    server.on(f"GET {APP}/software/1.1.0/rollout", rollout("1.1.0"))
    shown = server.run("rollout", "show", "1.1.0").stdout.splitlines()
    assert shown[:3] == ["version\t1.1.0", "state\trunning", "since\tt1"]
    assert json.loads(server.run("rollout", "show", "1.1.0", "--json").stdout) == rollout("1.1.0")


@pytest.mark.parametrize(
    ("move", "document", "sentence"),
    [
        ("pause", rollout("1.1.0", "paused", withdrawn=2), "paused, stage 1/2, 2 offers withdrawn"),
        ("resume", rollout("1.1.0", withdrawn=0), "running, stage 1/2"),
        ("abort", rollout("1.1.0", "aborted", withdrawn=1), "aborted, stage 1/2, 1 offer withdrawn"),
    ],
)
def test_a_rollout_is_moved_with_a_reason(server: FakeServer, move: str, document: Json, sentence: str) -> None:
    server.on(f"POST {APP}/software/1.1.0/rollout/{move}", document)
    result = server.run("rollout", move, "1.1.0", "--reason", "leaks")
    assert (result.exit_code, result.output) == (0, f"rollout 1.1.0: {sentence}\n")
    [call] = server.changes()
    assert call.document == {"reason": "leaks"}
    assert json.loads(server.run("rollout", move, "1.1.0", "--json").stdout) == document


def test_an_approval_names_the_stage_that_was_seen(server: FakeServer) -> None:
    server.on(f"GET {APP}/software/1.1.0/rollout", rollout("1.1.0"))
    server.on(f"POST {APP}/software/1.1.0/rollout/approve", rollout("1.1.0", stage=1, withdrawn=0))
    result = server.run("rollout", "approve", "1.1.0")
    assert (result.exit_code, result.output) == (0, "rollout 1.1.0: running, stage 2/2\n")
    [call] = server.changes()
    assert call.document == {"stage": 0}


def test_a_move_that_is_refused_ends_with_2(server: FakeServer) -> None:
    server.refuse(f"POST {APP}/software/1.1.0/rollout/resume", 409, "rollout-state", "it is aborted")
    result = server.run("rollout", "resume", "1.1.0")
    assert (result.exit_code, "rollout-state" in result.stderr) == (2, True)
