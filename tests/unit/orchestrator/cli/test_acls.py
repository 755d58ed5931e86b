"""`otao acl`: the access rules of a service's settings, as a file and as data."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from orchestrator.cli.acls import FORGEABLE, SHARED
from orchestrator.cli.main import main
from protocol import access_rules
from protocol.topics import Instances

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("OTAO_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def acl(*words: str, given: str | bytes | None = None, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["acl", *words], input=given)


def test_without_settings_it_prints_the_shipped_rules_and_says_what_they_leave_open() -> None:
    result = acl()
    assert (result.exit_code, result.stdout) == (0, access_rules.acl_file(access_rules.build(Instances())))
    assert result.stderr == f"{FORGEABLE}\n"


def test_settings_and_options_name_users_instances_and_endpoints() -> None:
    environment = {"OTAO_MQTT_URL": "mqtt://s%20vc:secret@h", "OTAO_SOFTWARE_INSTANCE": "sw"}
    result = acl("--operators", "ann", "--tokens", "-", given="tok7\n\ntok8\n", **environment)
    expected = access_rules.build(Instances(software="sw"), service="s vc", operators=["ann"], tokens=["tok7", "tok8"])
    assert (result.exit_code, result.stdout) == (0, access_rules.acl_file(expected))
    assert result.stderr == ""
    assert "secret" not in result.output


def test_as_data_it_is_the_same() -> None:
    result = acl("--json", "--tokens", "-", given="tok7", OTAO_MQTT_CLIENT_ID="plant-3")
    document = json.loads(result.stdout)
    assert (document["service"]["user"], document["service"]["clientIdPrefix"]) == ("otao", "plant-3")
    assert document["forgedOffers"] == "refused"
    lines = [f"pattern {rule['access']} {rule['topic']}" for rule in document["endpoints"]]
    for party in (document["service"], *document["operators"], *document["named"]):
        lines += [f"user {party['user']}", *(f"topic {rule['access']} {rule['topic']}" for rule in party["rules"])]
    text = acl("--tokens", "-", given="tok7").stdout
    assert sorted(lines) == sorted(line for line in text.splitlines() if line and not line.startswith("#"))


@pytest.mark.parametrize("written", [b"\xef\xbb\xbftok7\r\nk\xc3\xbcche\r\n", b"\n\ntok7\nk\xc3\xbcche"])
def test_tokens_are_read_as_editors_of_every_system_write_them(written: bytes) -> None:
    named = json.loads(acl("--json", "--tokens", "-", given=written).stdout)["named"]
    assert [party["user"] for party in named] == ["tok7", "küche"]


def test_equal_tokens_of_two_applications_get_one_stanza_and_are_told() -> None:
    result = acl("--tokens", "-", given="tok7\ntok8\ntok7\n")
    assert (result.exit_code, result.stdout) == (0, acl("--tokens", "-", given="tok7\ntok8\n").stdout)
    assert result.stderr == f"{SHARED.format(amount=1, one='tok7')}\n"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"", "names no token"),
        (b"\xef\xbb\xbf\r\n\n", "names no token"),
        (b"tok7\nk\xfcche\n", "invalid start byte at byte 6"),
        ("tok7\ntok\u20288\n".encode(), r"'tok\u20288' is no token"),
        ("tok7\u00858\n".encode(), r"'tok7\x858' is no token"),
        (b"tok7\rtok8\r", r"'tok7\rtok8' is no token"),
    ],
)
def test_a_file_that_would_cut_endpoints_off_in_silence_is_refused(written: bytes, said: str) -> None:
    result = acl("--tokens", "-", given=written)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "given", "environment", "said"),
    [
        (["--tokens", "-"], "operators", {}, "'operators' cannot be a token"),
        (["--tokens", "absent.txt"], None, {}, "absent.txt"),
        ([], None, {"OTAO_MQTT_URL": "embedded"}, "the embedded broker has no access rules"),
        ([], None, {"OTAO_BATCH_SIZE": "0"}, "OTAO_BATCH_SIZE"),
        (["--mqtt-url", "mqtt://operators:x@h"], None, {}, "user names of their own"),
    ],
)
def test_what_cannot_be_printed_ends_with_2(
    words: list[str], given: str | None, environment: dict[str, str], said: str
) -> None:
    result = acl(*words, given=given, **environment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
