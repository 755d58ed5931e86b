"""Commands about the whole fleet: summary, attention, audit, doctor, freeze, graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.orchestrator.cli.fake_servers import APP

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.cli.fake_servers import FakeServer

FREEZE = {"frozen": True, "since": "2026-03-01T12:00:00Z", "by": "alice", "reason": "smoke", "everywhere": False}
SUMMARY = {
    "endpoints": 8,
    "byVersion": {"1.0.0": 5, "1.1.0": 1},
    "unknownVersion": 2,
    "unseen": 3,
    "frozen": FREEZE,
    "byState": {"failed": 1},
    "failures": [{"version": "1.1.0", "reason": "no room left", "endpoints": 1}],
}


def test_a_summary_counts_and_says_that_it_is_frozen(server: FakeServer) -> None:
    server.on(f"GET {APP}/summary", SUMMARY)
    assert server.run("summary").stdout.splitlines() == [
        "the application is frozen since 2026-03-01T12:00:00Z by alice: smoke",
        "what\twhich\tendpoints\tshare",
        "endpoints\tall\t8\t100.0 %",
        "runs\t1.0.0\t5\t62.5 %",
        "runs\t1.1.0\t1\t12.5 %",
        "runs\tunknown\t2\t25.0 %",
        "state\tfailed\t1\t12.5 %",
        "unseen\t-\t3\t37.5 %",
        "failure\t1.1.0: no room left\t1\t12.5 %",
    ]


def test_the_attention_list_says_what_to_do(server: FakeServer) -> None:
    item = {"severity": 90, "endpointId": "e1", "runningVersion": "1.0.0", "problem": "loop", "reason": "r"}
    server.on(f"GET {APP}/attention", {"items": [{**item, "advice": "do", "since": "s"}], "next": None})
    assert server.run("attention").stdout.splitlines()[1] == "90\te1\t1.0.0\tloop\tr\tdo\ts"


@pytest.mark.parametrize(("words", "path"), [([], f"{APP}/audit"), (["--all"], "/api/v1/audit")])
def test_the_audit_says_who_and_why(server: FakeServer, words: list[str], path: str) -> None:
    entry = {"at": "t", "application": "kettle", "actor": "alice", "via": "rest", "action": "freeze.set"}
    server.on(f"GET {path}", {"items": [{**entry, "resource": "freeze", "reason": "smoke"}], "next": None})
    assert server.run("audit", *words).stdout.splitlines()[1] == "t\tkettle\talice\trest\tfreeze.set\tfreeze\tsmoke"


@pytest.mark.parametrize(("status", "exit_code"), [("ok", 0), ("warning", 0), ("failed", 3)])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_check_that_failed_is_the_doctors_exit_code(
    server: FakeServer, status: str, exit_code: int, flags: list[str]
) -> None:
    check = {"check": "broker.version", "status": status, "detail": "2.0.11", "advice": "take 2.0.22"}
    server.on("GET /api/v1/doctor", {"checks": [check]})
    result = server.run("doctor", *flags)
    assert result.exit_code == exit_code
    assert "take 2.0.22" in result.stdout
    assert ("broker.version" in result.stderr) == (exit_code == 3)


@pytest.mark.parametrize(("words", "path"), [([], f"{APP}/freeze"), (["--all"], "/api/v1/freeze")])
def test_a_freeze_is_set_and_lifted(server: FakeServer, words: list[str], path: str) -> None:
    server.on(f"POST {path}", {**FREEZE, "withdrawn": 2})
    server.on(f"DELETE {path}", {"frozen": False, "withdrawn": 0})
    server.on(f"GET {path}", {"frozen": False})
    said = server.run("freeze", *words, "--reason", "smoke").stdout
    assert said == "the application is frozen since 2026-03-01T12:00:00Z by alice: smoke; 2 offers were withdrawn\n"
    assert server.changes()[0].document == {"reason": "smoke"}
    assert server.run("freeze", *words, "--lift").stdout == "not frozen\n"
    assert server.run("freeze", *words, "--status").stdout == "not frozen\n"
    assert [call.method for call in server.changes()] == ["POST", "DELETE"]


@pytest.mark.parametrize(
    ("words", "form"),
    [([], "text"), (["--format", "dot"], "dot"), (["--json"], "json"), (["-o", "{folder}/g.svg"], "svg")],
)
def test_a_graph_is_drawn_by_the_server(server: FakeServer, tmp_path: Path, words: list[str], form: str) -> None:
    server.on(f"GET {APP}/graph?format={form}", f"drawn as {form}\n".encode())
    result = server.run("graph", *(word.format(folder=tmp_path) for word in words))
    assert result.exit_code == 0
    written = (tmp_path / "g.svg").read_text() if form == "svg" else result.stdout
    assert written == f"drawn as {form}\n"


def test_a_graph_that_cannot_be_written_fails(server: FakeServer, tmp_path: Path) -> None:
    server.on(f"GET {APP}/graph", b"g")
    result = server.run("graph", "-o", str(tmp_path / "gone" / "g.svg"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
