"""Commands over resources: which calls they make, and what they print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.brokers import free_port
from tests.unit.orchestrator.cli.fake_servers import APP, FakeServer

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "https://user:hidden@example.com/fw.bin"
SOFTWARE = {
    "version": "1.1.0",
    "upgradableFrom": ["1.0.0", "^0.9"],
    "rolloutStrategy": "targeted",
    "filters": [{"filterId": "canary", "rolloutDate": None}],
    "specification": {"link": SECRET},
    "offeredAt": "2026-03-01T12:00:00Z",
    "recalledAt": None,
}
ENDPOINT = {
    "endpointId": "kettle-7",
    "token": "tok7",
    "tokenState": "active",
    "runningVersion": "1.0.0",
    "lastSeenAt": None,
    "offer": {"version": "1.1.0", "state": "offered"},
}


def test_software_is_listed_without_specifications(server: FakeServer) -> None:
    server.on(f"GET {APP}/software", [SOFTWARE])
    result = server.run("software", "list")
    assert result.stdout.splitlines() == [
        "version\tstrategy\tupgradable from\tfilters\toffered\trecalled",
        "1.1.0\ttargeted\t1.0.0, ^0.9\tcanary\t2026-03-01T12:00:00Z\t-",
    ]
    assert SECRET in server.run("software", "list", "--json").stdout


def test_software_get_shows_the_specification(server: FakeServer) -> None:
    server.on(f"GET {APP}/software/1.1.0", SOFTWARE)
    assert f'specification\t{{"link": "{SECRET}"}}\n' in server.run("software", "get", "1.1.0").stdout


def test_software_put_sends_what_was_given(server: FakeServer) -> None:
    server.on(f"PUT {APP}/software/1.1.0", SOFTWARE, 201)
    words = ["--from", "1.0.0", "--from", "^0.9", "--strategy", "targeted", "--filter", "canary@2026-12-01T08:00:00Z"]
    words += ["--filter", "field", "--specification", '{"link": "x"}', "--metadata", "notes=boils faster"]
    result = server.run("software", "put", "1.1.0", *words, "--reason", "release")
    assert result.output == "software 1.1.0: created\n"
    [call] = server.changes()
    assert call.headers["otao-reason"] == "release"
    assert call.document == {
        "upgradableFrom": ["1.0.0", "^0.9"],
        "rolloutStrategy": "targeted",
        "filters": [{"filterId": "canary", "rolloutDate": "2026-12-01T08:00:00Z"}, {"filterId": "field"}],
        "specification": {"link": "x"},
        "metadata": {"notes": "boils faster"},
    }


def test_a_specification_may_come_from_a_file(server: FakeServer, tmp_path: Path) -> None:
    server.on(f"PUT {APP}/software/1.1.0", SOFTWARE)
    file = tmp_path / "specification.json"
    file.write_text('["a", 1]')
    assert server.run("software", "put", "1.1.0", "--specification-file", str(file)).exit_code == 0
    document = server.changes()[0].document
    assert isinstance(document, dict)
    assert document["specification"] == ["a", 1]


@pytest.mark.parametrize(
    "words",
    [
        ["software", "put", "1.1.0", "--specification", "{"],
        ["software", "put", "1.1.0", "--specification", "NaN"],
        ["software", "put", "1.1.0", "--specification", "1", "--specification-file", __file__],
        ["software", "put", "1.1.0", "--strategy", "everybody"],
        ["endpoint", "put", "kettle-7", "--attribute", "site"],
        ["endpoint", "put", "kettle-7", "--attribute", "=lab"],
        ["endpoint", "put", "kettle-7", "--attribute", "a=1", "--attribute", "a=2"],
        ["application", "put", "kettle"],
        ["freeze", "--lift", "--status"],
    ],
)
def test_wrong_usage_ends_with_2_and_changes_nothing(server: FakeServer, words: list[str]) -> None:
    result = server.run(*words)
    assert (result.exit_code, server.changes()) == (2, [])
    assert result.stderr


def test_a_recall_says_why_and_how_many_offers_end(server: FakeServer) -> None:
    server.on(f"POST {APP}/software/1.1.0/recall", {**SOFTWARE, "withdrawn": 3})
    result = server.run("software", "recall", "1.1.0", "--reason", "it burns")
    assert result.stdout == "software 1.1.0: recalled, 3 offers withdrawn\n"
    assert server.changes()[0].document == {"reason": "it burns"}


def test_a_delete_says_how_many_offers_end(server: FakeServer) -> None:
    server.on(f"GET {APP}/software/1.1.0", SOFTWARE, etag='"5"')
    server.on(f"DELETE {APP}/software/1.1.0", None, 204, otao_withdrawn="1")
    assert server.run("software", "delete", "1.1.0").stdout == "software 1.1.0: deleted, 1 offer withdrawn\n"
    assert server.changes()[0].headers["if-match"] == '"5"'


def test_an_application_is_put_with_its_settings(server: FakeServer) -> None:
    server.on("PUT /api/v1/applications/toaster", {"name": "toaster"}, 201)
    words = ["--app-version", "t1", "--app-version", "t2", "--registration", "open", "--operator-key", "ring"]
    assert server.run("application", "put", "toaster", *words).stdout == "application toaster: created\n"
    assert server.changes()[0].document == {
        "appVersions": ["t1", "t2"],
        "registration": "open",
        "operatorKeys": ["ring"],
    }


def test_an_application_is_put_with_the_limits_that_are_given(server: FakeServer) -> None:
    server.on("PUT /api/v1/applications/toaster", {"name": "toaster"}, 201)
    server.run("application", "put", "toaster", "--app-version", "t1", "--per-minute", "600", "--in-progress", "50")
    server.run("application", "put", "toaster", "--app-version", "t1", "--per-minute", "600")
    both, one = (call.document for call in server.changes())
    assert both == {"appVersions": ["t1"], "limits": {"perMinute": 600, "inProgress": 50}}
    assert one == {"appVersions": ["t1"], "limits": {"perMinute": 600}}
    assert server.run("application", "put", "toaster", "--app-version", "t1", "--per-minute", "0").exit_code == 2


def test_filters_are_put_shown_and_asked_what_they_match(server: FakeServer) -> None:
    document = {"filterId": "canary", "expression": "attributes.ring <= 1", "description": None}
    server.on(f"PUT {APP}/filters/canary", document)
    server.on(f"GET {APP}/filters/canary", document, etag='"1"')
    server.on(f"GET {APP}/filters/canary/endpoints", {"items": [ENDPOINT], "next": None})
    assert server.run("filter", "put", "canary", "attributes.ring <= 1").stdout == "filter canary: updated\n"
    assert server.changes()[0].document == {"expression": "attributes.ring <= 1"}
    assert server.run("filter", "get", "canary").stdout.splitlines()[1] == "expression\tattributes.ring <= 1"
    lines = server.run("filter", "endpoints", "canary").stdout.splitlines()
    assert lines[1] == "kettle-7\ttok7\t1.0.0\t1.1.0\toffered\t-"


def test_endpoints_are_listed_as_asked(server: FakeServer) -> None:
    server.on(f"GET {APP}/endpoints", {"items": [ENDPOINT], "next": None})
    words = ["--version", "unknown", "--state", "failed", "--filter", "canary", "--token", "tok7"]
    assert server.run("endpoint", "list", *words).stdout.count("kettle-7") == 1
    query = server.lines[-1].partition("?")[2]
    assert sorted(query.split("&")) == ["filter=canary", "limit=100", "state=failed", "token=tok7", "version=unknown"]


def test_an_endpoint_is_put_with_attributes_of_any_type(server: FakeServer) -> None:
    server.on(f"PUT {APP}/endpoints/kettle-7", ENDPOINT)
    words = ["--attribute", "site=lab", "--attribute", "ring=1", "--attribute", "ok=true", "--attribute", 'v="1"']
    server.run("endpoint", "put", "kettle-7", *words, "--pin", "1.0.0", "--token", "tok7")
    assert server.changes()[0].document == {
        "token": "tok7",
        "attributes": {"site": "lab", "ring": 1, "ok": True, "v": "1"},
        "pinned": "1.0.0",
    }


@pytest.mark.parametrize(
    ("words", "body", "said"),
    [
        (["retry", "kettle-7"], {}, "endpoint kettle-7: failures forgotten; runs 1.0.0, is offered 1.1.0\n"),
        (["retry", "kettle-7", "--version", "1.1.0"], {"version": "1.1.0"}, "endpoint kettle-7: failures forgotten"),
        (["token", "kettle-7"], {}, "endpoint kettle-7: token tok7, active\n"),
        (["token", "kettle-7", "--state", "revoked"], {"state": "revoked"}, "endpoint kettle-7: token"),
        (["consent", "kettle-7"], {"granted": True}, "endpoint kettle-7: consent given"),
        (
            ["consent", "kettle-7", "--refuse", "--version", "2.0.0", "--reason", "no"],
            {"granted": False, "version": "2.0.0", "reason": "no"},
            "endpoint kettle-7: consent refused",
        ),
    ],
)
def test_actions_on_an_endpoint(server: FakeServer, words: list[str], body: object, said: str) -> None:
    server.on(f"POST {APP}/endpoints/kettle-7/{words[0]}", ENDPOINT)
    result = server.run("endpoint", *words)
    assert result.stdout.startswith(said)
    assert server.changes()[0].document == body


def test_a_problem_of_the_server_is_shown_with_its_code(server: FakeServer) -> None:
    server.refuse(f"GET {APP}/endpoints/gone", 404, "endpoint-not-found", "there is no endpoint 'gone'")
    result = server.run("endpoint", "get", "gone")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "otao: there is no endpoint 'gone' (endpoint-not-found)\n"


def test_a_server_that_is_not_there_ends_with_4() -> None:
    result = FakeServer(url=f"http://127.0.0.1:{free_port()}").run("application", "list")
    assert result.exit_code == 4
    assert "otao serve" in result.stderr


EXPLANATION = {
    "endpointId": "kettle-7",
    "runningVersion": "1.0.0",
    "outcome": "waiting",
    "summary": "runs 1.0.0; waits for 1.1.0",
    "path": ["1.1.0", "2.0.0"],
    "waitsUntil": "2026-12-01T08:00:00Z",
    "software": [
        {
            "version": "1.1.0",
            "eligible": True,
            "open": False,
            "reachable": True,
            "rules": [
                {"rule": "strategy", "passed": True, "detail": "general"},
                {"rule": "date", "passed": False, "detail": "not before 2026-12-01"},
            ],
        },
        {"version": "2.0.0", "eligible": True, "open": True, "reachable": True, "rules": []},
    ],
}


@pytest.mark.parametrize("words", [["explain"], ["endpoint", "explain"]])
def test_an_explanation_names_the_rules_in_the_way(server: FakeServer, words: list[str]) -> None:
    server.on(f"GET {APP}/endpoints/kettle-7/explain", EXPLANATION)
    lines = server.run(*words, "kettle-7").stdout.splitlines()
    assert "why\truns 1.0.0; waits for 1.1.0" in lines
    assert "way\t1.0.0 → 1.1.0 → 2.0.0" in lines
    assert "1.1.0\teligible reachable\tdate\tno\tnot before 2026-12-01" in lines
    assert "2.0.0\teligible open reachable\t-\tyes\t-" in lines
    assert "general" not in "".join(lines)
    assert "general" in server.run(*words, "kettle-7", "--all").stdout


def test_a_history_is_a_table(server: FakeServer) -> None:
    entry = {"at": "2026-03-01T12:00:00Z", "kind": "failed", "version": "1.1.0", "statusCode": 507, "reason": "no room"}
    server.on(f"GET {APP}/endpoints/kettle-7/history?limit=100", {"items": [entry], "next": None})
    assert server.run("history", "kettle-7").stdout.splitlines() == [
        "at\tkind\tversion\tstatus\treason",
        "2026-03-01T12:00:00Z\tfailed\t1.1.0\t507\tno room",
    ]
