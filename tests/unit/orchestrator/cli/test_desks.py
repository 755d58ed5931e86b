"""Which server, which application, which key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.cli import desks
from orchestrator.cli.endings import RefusedError
from tests.unit.orchestrator.cli.fake_servers import APP

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.cli.fake_servers import FakeServer

SUMMARY = {"endpoints": 0, "byVersion": {}, "unknownVersion": 0, "frozen": None, "byState": {}, "failures": []}


def names(*all_of_them: str) -> dict[str, object]:
    return {"items": [{"name": name} for name in all_of_them], "next": None}


def test_the_only_application_need_not_be_named(server: FakeServer) -> None:
    server.on(f"GET {APP}/summary", SUMMARY)
    assert server.run("summary").exit_code == 0
    assert server.lines[-1] == f"GET {APP}/summary"


def test_a_flag_beats_the_environment(server: FakeServer) -> None:
    server.on("GET /api/v1/applications/one/summary", SUMMARY)
    server.on("GET /api/v1/applications/two/summary", SUMMARY)
    server.run("summary", OTAO_APPLICATION="one")
    server.run("summary", "--application", "two", OTAO_APPLICATION="one")
    assert server.lines == [f"GET /api/v1/applications/{name}/summary" for name in ("one", "two")]


def test_several_applications_end_with_2_and_their_names(server: FakeServer) -> None:
    server.replies.clear()
    server.on("GET /api/v1/applications", names("kettle", "toaster"))
    result = server.run("summary")
    assert result.exit_code == 2
    assert "kettle, toaster" in result.stderr
    assert "--application" in result.stderr


def test_no_application_ends_with_2_and_a_way_on(server: FakeServer) -> None:
    server.replies.clear()
    server.on("GET /api/v1/applications", names())
    result = server.run("summary")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "otao apply" in result.stderr


def test_json_is_exactly_the_servers(server: FakeServer) -> None:
    body = b'{"endpoints": 0,   "odd": "\xc3\xa4"}'
    server.on(f"GET {APP}/summary", body)
    assert server.run("summary", "--json").stdout.encode() == body + b"\n"


def test_a_list_says_that_there_is_more(server: FakeServer) -> None:
    server.on(f"GET {APP}/filters?limit=1", {"items": [{"filterId": "a", "expression": "true"}], "next": "c"})
    result = server.run("filter", "list", "--limit", "1")
    assert result.stdout == "filter\texpression\tdescription\na\ttrue\t-\n"
    assert "--limit 0" in result.stderr
    as_json = server.run("filter", "list", "--limit", "1", "--json")
    assert as_json.stdout == '{"items":[{"filterId":"a","expression":"true"}],"next":"c"}\n'


@pytest.mark.parametrize("reason", ["two\nlines", "colour \x1b[31m"])
def test_a_reason_is_one_line(server: FakeServer, reason: str) -> None:
    result = server.run("filter", "delete", "canary", "--reason", reason)
    assert (result.exit_code, server.calls) == (2, [])


class TestKeys:
    @pytest.fixture
    def key_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name in (desks.KEY, desks.KEY_FILE):
            monkeypatch.delenv(name, raising=False)
        file = tmp_path / "key"
        file.write_text("otao_file\n")
        return file

    def test_no_key_is_none(self, key_file: Path) -> None:
        assert key_file.exists()
        assert desks.read_key(None) is None

    def test_the_file_that_is_named_beats_the_environment(
        self, key_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(desks.KEY, "otao_environment")
        assert desks.read_key(None) == "otao_environment"
        assert desks.read_key(key_file) == "otao_file"

    def test_the_environment_may_name_a_file_but_not_two_keys(
        self, key_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(desks.KEY_FILE, str(key_file))
        assert desks.read_key(None) == "otao_file"
        monkeypatch.setenv(desks.KEY, "otao_environment")
        with pytest.raises(RefusedError, match="is set as well"):
            desks.read_key(None)

    @pytest.mark.parametrize("content", [b"", b"two words", "schlüssel".encode(), b"\xff\xfe", b"a\nb"])
    def test_a_file_without_a_key_is_refused_and_not_shown(self, key_file: Path, content: bytes) -> None:
        key_file.write_bytes(content)
        with pytest.raises(RefusedError) as caught:
            desks.read_key(key_file)
        assert "two words" not in str(caught.value)

    def test_a_file_that_is_not_there_is_refused(self, key_file: Path) -> None:
        with pytest.raises(RefusedError, match="No such file"):
            desks.read_key(key_file.with_name("gone"))
