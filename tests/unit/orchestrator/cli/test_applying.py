"""`otao apply` and `otao plan`: what is sent, what is printed, and where a file is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.orchestrator.cli.fake_servers import APP

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.cli.fake_servers import FakeServer

CATALOGUE = """\
application: kettle
appVersions: [kettle-v1]
software:
  - version: 1.0.0
    rolloutStrategy: suspended
  - version: 1.1.0
    upgradableFrom: [1.0.0, nonsense]
    rolloutStrategy: general
"""
PLAN = {
    "endpoints": 120,
    "moves": [{"from": None, "to": "1.1.0", "endpoints": 4}, {"from": "1.0.0", "to": "1.1.0", "endpoints": 100}],
    "stages": [
        {
            "version": "1.1.0",
            "stages": [
                {"stage": 0, "percent": 10, "endpoints": 12},
                {"stage": 1, "filter": "lab", "endpoints": 2},
                {"stage": 2, "count": 50, "endpoints": 38},
            ],
            "duration": "PT1H30M",
        },
        {"version": "1.2.0", "stages": [{"stage": 0, "percent": 0.5, "endpoints": 0}], "duration": None},
    ],
    "firstOffers": [{"version": "1.1.0", "endpoints": 12, "asked": 3}],
    "duration": "PT2H",
    "unreachable": [{"reason": "no edge leads on from 0.9.0", "endpoints": 16}],
    "warnings": ["1.1.0 has no specification"],
}
PLANNED = [
    "120 endpoints",
    "from\tto\tendpoints",
    "unknown\t1.1.0\t4",
    "1.0.0\t1.1.0\t100",
    "stages of 1.1.0, at least PT1H30M:",
    "stage\tadmits\tendpoints",
    "1\t10 %\t12",
    "2\tfilter lab\t2",
    "3\t50 endpoints\t38",
    "stages of 1.2.0:",
    "stage\tadmits\tendpoints",
    "1\t0.5 %\t0",
    "at once:",
    "version\toffered to\tasked for consent",
    "1.1.0\t12\t3",
    "all of it takes at least PT2H, and as long as devices take to install besides",
    "would not come there:",
    "endpoints\treason",
    "16\tno edge leads on from 0.9.0",
    "warning: 1.1.0 has no specification",
]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "catalogue.yaml"
    path.write_text(CATALOGUE)
    return str(path)


def changed(*words: str, **members: object) -> dict[str, object]:
    return {"changes": [{"resource": f"software/{n}", "change": word} for n, word in enumerate(words)], **members}


def test_a_file_is_sent_as_one_catalogue(server: FakeServer, file: str) -> None:
    server.on(f"PUT {APP}/catalogue", changed("created", "updated"), otao_withdrawn="2")
    result = server.run("apply", "-f", file, "--reason", "release", OTAO_APPLICATION="toaster")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "change\tresource",
        "created\tsoftware/0",
        "updated\tsoftware/1",
        "1 created, 1 updated; 2 offers withdrawn",
    ]
    [call] = server.calls
    assert call.headers["otao-reason"] == "release"
    document = call.document
    assert isinstance(document, dict)
    assert "application" not in document
    assert document["software"][1]["upgradableFrom"] == ["1.0.0", "nonsense"]


def test_standard_input_and_an_application_that_only_the_flag_names(server: FakeServer) -> None:
    server.on("PUT /api/v1/applications/toaster/catalogue", changed("created"))
    text = CATALOGUE.partition("\n")[2]
    assert server.run("apply", "-f", "-", "-a", "toaster", given=text).exit_code == 0


def test_a_flag_that_says_another_application_than_the_file_is_refused(server: FakeServer, file: str) -> None:
    result = server.run("apply", "-f", file, "-a", "toaster")
    assert (result.exit_code, server.calls) == (2, [])
    assert "kettle" in result.stderr


def test_the_second_time_nothing_changed(server: FakeServer, file: str) -> None:
    server.on(f"PUT {APP}/catalogue", changed("unchanged", "unchanged"))
    result = server.run("apply", "-f", file)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "nothing changed")


def test_a_dry_run_says_what_would_be_and_the_plan(server: FakeServer, file: str) -> None:
    server.on(f"PUT {APP}/catalogue?dryRun=true&checkLinks=true", changed("created", "unchanged", plan=PLAN))
    result = server.run("apply", "-f", file, "--dry-run", "--check-links")
    assert result.stdout.splitlines()[3:] == ["nothing is stored; it would be: 1 created, 1 unchanged", *PLANNED]
    as_json = server.run("apply", "-f", file, "--dry-run", "--check-links", "--json")
    assert as_json.stdout.startswith('{"changes":')


def test_links_are_looked_at_only_in_a_dry_run(server: FakeServer, file: str) -> None:
    assert server.run("apply", "-f", file, "--check-links").exit_code == 2
    assert server.calls == []


@pytest.mark.parametrize(
    ("detail", "place"),
    [
        ("'software[1].upgradableFrom[1]': 'nonsense' is no range", "7:29: "),
        ("the member 'software[1].upgradableFrom' is unknown here", "7:5: "),
        ("'appVersions[0]': must be one topic level", "2:15: "),
    ],
)
def test_what_the_server_refuses_is_led_back_to_a_line(server: FakeServer, file: str, detail: str, place: str) -> None:
    server.refuse(f"PUT {APP}/catalogue", 422, "invalid-constraint", detail)
    result = server.run("apply", "-f", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{file}:{place}{detail} (invalid-constraint)\n"


def test_what_the_server_refuses_without_a_place_is_shown_as_it_is(server: FakeServer, file: str) -> None:
    server.refuse(f"PUT {APP}/catalogue", 409, "specification-frozen", "1.1.0 was offered to endpoints")
    result = server.run("apply", "-f", file)
    assert (result.exit_code, result.stderr) == (2, "otao: 1.1.0 was offered to endpoints (specification-frozen)\n")


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"- a\n", 1, 1),
        (b"", 1, 1),
        (b"a: &a [*a]\n", 1, 8),
        (b"x" * 10_000_000, 1, 1),
        (b"application: kettle\nsoftwear: []\n", 2, 1),
        (b"application: kettle\nsoftware:\n  - version: 1.0\n    rolloutStrategy: general\n", 3, 14),
        (b"application: kettle\n---\napplication: toaster\n", 2, 1),
        (b"application: kettle\nfilters:\n\tcanary: x\n", 3, 1),
        (b"application: \xc3\x28\n", 1, 14),
    ],
)
@pytest.mark.parametrize("command", ["apply", "plan"])
def test_a_bad_file_ends_with_2_at_its_place_and_nothing_is_sent(
    server: FakeServer, tmp_path: Path, command: str, content: bytes, line: int, column: int
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    result = server.run(command, "-f", str(path), "-a", "kettle")
    assert (result.exit_code, result.stdout, server.calls) == (2, "", [])
    if not (command == "plan" and b"softwear" in content):
        assert result.stderr.splitlines()[0].startswith(f"{path}:{line}:{column}: ")
    from_input = server.run(command, "-f", "-", "-a", "kettle", given=content)
    assert from_input.exit_code == 2
    assert from_input.stderr.startswith("<stdin>:")


def test_a_file_that_is_not_there_is_refused(server: FakeServer, tmp_path: Path) -> None:
    result = server.run("apply", "-f", str(tmp_path / "gone.yaml"))
    assert result.exit_code == 2
    assert "No such file" in result.stderr
    assert server.run("apply", "-f", str(tmp_path)).exit_code == 2


def test_a_catalogue_is_planned_whole(server: FakeServer, file: str) -> None:
    server.on(f"POST {APP}/plan", PLAN)
    result = server.run("plan", "-f", file)
    assert result.stdout.splitlines() == PLANNED
    document = server.calls[0].document
    assert isinstance(document, dict)
    assert (list(document), document["checkLinks"]) == (["catalogue", "checkLinks"], False)


def test_one_software_is_planned_and_errors_lead_into_it(server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "software.yaml"
    path.write_text("version: 2.0.0\nrolloutStrategy: general\nupgradableFrom: [bad]\n")
    server.refuse(f"POST {APP}/plan", 422, "invalid-constraint", "'software.upgradableFrom[0]': no range")
    result = server.run("plan", "-f", str(path), "--check-links")
    assert result.stderr == f"{path}:3:18: 'software.upgradableFrom[0]': no range (invalid-constraint)\n"
    document = server.changes()[0].document
    assert isinstance(document, dict)
    assert document["software"]["version"] == "2.0.0"
    assert document["checkLinks"] is True


def test_a_plan_that_moves_nobody_says_so(server: FakeServer, file: str) -> None:
    server.on(f"POST {APP}/plan", {"endpoints": 1, "moves": [], "unreachable": [], "warnings": []})
    assert server.run("plan", "-f", file).stdout == "1 endpoint; none of them would move\n"


def test_a_plan_in_which_nothing_begins_at_once_says_so(server: FakeServer, file: str) -> None:
    closed = {"endpoints": 1, "moves": [{"from": "1.0.0", "to": "1.1.0", "endpoints": 1}], "firstOffers": []}
    server.on(f"POST {APP}/plan", {**closed, "stages": [], "duration": None})
    assert server.run("plan", "-f", file).stdout.splitlines()[2:] == [
        "1.0.0\t1.1.0\t1",
        "at once nobody would be offered anything",
    ]
