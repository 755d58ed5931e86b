"""`otao endpoint import`: sent as it is read; bad lines are told with their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.orchestrator.cli.fake_servers import APP

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.cli.fake_servers import FakeServer

ANSWER = {"created": 2, "updated": 1, "unchanged": 0, "failed": 0, "errors": []}


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.jsonl"
    file.write_text("".join(f'{{"endpointId": "kettle-{number}"}}\n' for number in range(10_000)))
    return file


@pytest.mark.parametrize("by_name", [True, False])
def test_a_file_or_standard_input_is_sent_whole(server: FakeServer, fleet: Path, *, by_name: bool) -> None:
    server.on(f"GET {APP}", {"name": "kettle"})
    server.on(f"POST {APP}/endpoints", ANSWER)
    result = server.run("endpoint", "import", str(fleet) if by_name else "-", given=fleet.read_bytes())
    assert (result.exit_code, result.stdout) == (0, "endpoints: 2 created, 1 updated, 0 unchanged, 0 failed\n")
    [call] = server.changes()
    assert call.body == fleet.read_bytes()
    assert call.headers["content-type"] == "application/x-ndjson"


def test_bad_lines_end_with_3(server: FakeServer, fleet: Path) -> None:
    server.on(f"GET {APP}", {"name": "kettle"})
    error = {"line": 7, "code": "member-unknown", "detail": "the member 'tokn' is unknown"}
    server.on(f"POST {APP}/endpoints", {**ANSWER, "failed": 1, "errors": [error]})
    result = server.run("endpoint", "import", str(fleet))
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        "line 7: the member 'tokn' is unknown (member-unknown)",
        "otao: 1 line was not imported",
    ]
    assert server.run("endpoint", "import", str(fleet), "--json").exit_code == 3


def test_nothing_is_sent_for_an_application_that_is_not_there(server: FakeServer, fleet: Path) -> None:
    result = server.run("endpoint", "import", str(fleet), "-a", "gone")
    assert (result.exit_code, server.changes()) == (2, [])
