"""The keys as they are now: what is made or revoked counts soon, and what is broken lets nobody in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator import keys
from orchestrator.api.keyrings import LOOK_SECONDS, Credentials, Keyring
from orchestrator.keys import Role

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Watch:
    at: float = 100.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Ring:
    """A keyring with its file and its time."""

    file: Path
    watch: Watch
    ring: Keyring

    def later(self) -> Credentials:
        """What it says when it has had time to look."""
        self.watch.at += LOOK_SECONDS
        return self.ring.credentials()

    def create(self, name: str) -> str:
        return keys.create(self.file, name, Role.OPERATOR, NOW)


@pytest.fixture
def ring(tmp_path: Path) -> Ring:
    watch = Watch()
    return Ring(tmp_path / "keys", watch, Keyring(tmp_path / "keys", watch))


def names(credentials: Credentials) -> list[str]:
    return [key.name for key in credentials.keys]


def test_without_a_file_nobody_needs_a_key(ring: Ring) -> None:
    assert ring.ring.credentials() == Credentials(required=False, keys=())


def test_beyond_loopback_a_key_is_needed_though_there_is_none(ring: Ring) -> None:
    keyring = Keyring(ring.file, ring.watch, required=True)
    assert keyring.credentials() == Credentials(required=True, keys=())


def test_from_the_first_key_on_one_is_needed(ring: Ring) -> None:
    ring.ring.credentials()
    ring.create("alice")
    found = ring.later()
    assert (found.required, names(found)) == (True, ["alice"])


def test_the_file_is_looked_at_once_a_second(ring: Ring) -> None:
    ring.ring.credentials()
    ring.create("alice")
    ring.watch.at += LOOK_SECONDS * 0.9
    assert not ring.ring.credentials().required
    ring.watch.at += LOOK_SECONDS * 0.1
    assert ring.ring.credentials().required


def test_a_revoked_key_counts_no_more(ring: Ring) -> None:
    ring.create("alice")
    ring.create("bob")
    assert names(ring.ring.credentials()) == ["alice", "bob"]
    keys.revoke(ring.file, "alice")
    assert names(ring.later()) == ["bob"]


def test_when_the_last_key_is_revoked_nobody_is_let_in(ring: Ring) -> None:
    ring.create("alice")
    ring.ring.credentials()
    keys.revoke(ring.file, "alice")
    assert ring.later() == Credentials(required=True, keys=())


def test_a_file_that_was_there_and_is_gone_opens_nothing(ring: Ring) -> None:
    ring.create("alice")
    ring.ring.credentials()
    ring.file.unlink()
    assert ring.later() == Credentials(required=True, keys=())


def test_a_file_that_breaks_lets_nobody_in_until_it_is_mended(ring: Ring) -> None:
    ring.create("alice")
    assert names(ring.ring.credentials()) == ["alice"]
    good = ring.file.read_bytes()
    ring.file.write_text("nonsense")
    assert ring.later() == Credentials(required=True, keys=(), broken=True)
    ring.file.write_bytes(good)
    assert names(ring.later()) == ["alice"]


def test_a_file_that_others_may_write_lets_nobody_in(ring: Ring) -> None:
    ring.create("alice")
    ring.ring.credentials()
    ring.file.chmod(0o666)
    assert ring.later().broken


def test_what_cannot_be_looked_at_lets_nobody_in(ring: Ring, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    keyring = Keyring(tmp_path / "plain" / "keys", ring.watch)
    assert keyring.credentials() == Credentials(required=True, keys=(), broken=True)
