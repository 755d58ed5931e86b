"""API keys as a file: made, found and revoked; and what is refused of it."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from orchestrator import keys
from orchestrator.keys import ApiKey, KeysError, Role

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "otao.keys"


def line(**members: object) -> str:
    given = {"name": "alice", "role": "operator", "sha256": "0" * 64, "createdAt": "2026-03-01T12:00:00+00:00"}
    return json.dumps(given | members)


def test_a_key_is_256_bits_of_chance_with_a_prefix(file: Path) -> None:
    first, second = (keys.create(file, name, Role.OPERATOR, NOW) for name in ("alice", "bob"))
    assert re.fullmatch(r"otao_[A-Za-z0-9_-]{43}", first)
    assert first != second


def test_only_the_digest_is_kept_and_only_the_owner_reads_it(file: Path) -> None:
    key = keys.create(file, "alice", Role.VIEWER, NOW)
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert keys.read(file) == [ApiKey(name="alice", role=Role.VIEWER, sha256=digest, created_at=NOW)]
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_key_is_found_and_nothing_else_is(file: Path) -> None:
    made = {name: keys.create(file, name, Role.OPERATOR, NOW) for name in ("alice", "bob", "carol")}
    present = keys.read(file)
    for name, key in made.items():
        found = keys.find(present, key)
        assert found is not None
        assert found.name == name
    for wrong in ("", "otao_", made["bob"][:-1], made["bob"] + "x", made["bob"].lower(), present[1].sha256, "\udcff"):
        assert keys.find(present, wrong) is None


def test_a_revoked_key_is_gone_and_the_others_stay(file: Path) -> None:
    made = {name: keys.create(file, name, Role.OPERATOR, NOW) for name in ("alice", "bob")}
    assert keys.revoke(file, "alice") == 1
    assert keys.find(keys.read(file), made["alice"]) is None
    assert keys.find(keys.read(file), made["bob"]) is not None
    with pytest.raises(KeysError, match="there is no key 'alice'"):
        keys.revoke(file, "alice")


def test_no_file_is_no_key(file: Path) -> None:
    assert keys.read(file) == []


def test_a_name_is_unique(file: Path) -> None:
    keys.create(file, "alice", Role.OPERATOR, NOW)
    before = file.read_bytes()
    with pytest.raises(KeysError, match="there is a key alice already"):
        keys.create(file, "alice", Role.VIEWER, NOW)
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 65, "anonymous", "mqtt", "a\n", "é", "<b>"])
def test_what_cannot_name_a_key_is_refused(file: Path, name: str) -> None:
    with pytest.raises(KeysError, match="cannot name a key"):
        keys.create(file, name, Role.OPERATOR, NOW)
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alice", "1: this is no API key: it is no JSON"),
        ("[" * 100_000, "1: this is no API key: it is no JSON"),
        ("[]", "1: this is no API key: it must be an object"),
        (f"{line()}\n\n", "2: this is no API key"),
        (line(admin=True), "1: this is no API key: it must be an object with name"),
        (line(name="a b"), "its name cannot be one"),
        (line(name=1), "its name cannot be one"),
        (line(role="root"), "'root' is not a valid Role"),
        (line(sha256="0" * 63), "64 hexadecimal digits"),
        (line(sha256="A" * 64), "64 hexadecimal digits"),
        (line(createdAt="yesterday"), "Invalid isoformat"),
        (line(createdAt="2026-03-01T12:00:00"), "offset from UTC"),
        (f"{line()}\n{line(role='viewer')}", "2: there are two keys alice"),
    ],
)
def test_one_wrong_line_spoils_the_file(file: Path, text: str, reason: str) -> None:
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(KeysError) as refused:
        keys.read(file)
    assert str(refused.value).startswith(f"{file}:")
    assert reason in str(refused.value)
    with pytest.raises(KeysError):
        keys.create(file, "bob", Role.OPERATOR, NOW)
    assert file.read_text() == text


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(KeysError, match="no UTF-8"):
        keys.read(file)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    keys.create(file, "alice", Role.OPERATOR, NOW)
    file.chmod(mode)
    with pytest.raises(KeysError, match="others may write it: chmod 600"):
        keys.read(file)


def test_a_secret_that_was_mounted_readable_is_read(file: Path) -> None:
    keys.create(file, "alice", Role.OPERATOR, NOW)
    file.chmod(0o444)
    assert [key.name for key in keys.read(file)] == ["alice"]


def test_a_folder_is_no_file_of_keys(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="cannot be read: Is a directory"):
        keys.read(tmp_path)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"gone/otao\.keys: cannot be written: No such file"):
        keys.create(tmp_path / "gone" / "otao.keys", "alice", Role.OPERATOR, NOW)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("offset", [0, 2])
def test_build_and_parse_are_inverse(role: Role, offset: int) -> None:
    created_at = NOW.astimezone(timezone(timedelta(hours=offset)))
    key = ApiKey(name="a.b_c@d-e", role=role, sha256="0f" * 32, created_at=created_at)
    assert keys.parse(keys.build(key)) == key
