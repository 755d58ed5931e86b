"""Sessions of browsers: when they begin and when they end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.api import sessions
from orchestrator.api.sessions import MOST, SECONDS, Sessions
from orchestrator.keys import ApiKey, Role


def key(name: str) -> ApiKey:
    created_at = datetime(2026, 3, 1, tzinfo=UTC)
    return ApiKey(name=name, role=Role.OPERATOR, sha256=f"{name:0>64}", created_at=created_at)


ALICE, BOB = key("a11ce"), key("b0b")


class Watch:
    at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def kept(watch: Watch) -> Sessions:
    return Sessions(watch)


def test_a_session_stands_for_its_key(kept: Sessions) -> None:
    first, second = kept.begin(ALICE), kept.begin(BOB)
    assert len({first, second}) == 2
    assert kept.find(first, [BOB, ALICE]) == ALICE
    assert kept.find(second, [BOB, ALICE]) == BOB
    assert kept.find("", [ALICE]) is None
    assert kept.find(first + "x", [ALICE]) is None


def test_it_ends_with_its_key(kept: Sessions) -> None:
    assert kept.find(kept.begin(ALICE), [BOB]) is None


def test_it_ends_when_its_time_is_over(kept: Sessions, watch: Watch) -> None:
    name = kept.begin(ALICE)
    watch.at += SECONDS - 1
    assert kept.find(name, [ALICE]) == ALICE
    watch.at += 1
    assert kept.find(name, [ALICE]) is None


def test_it_ends_when_its_owner_signs_out(kept: Sessions) -> None:
    name = kept.begin(ALICE)
    kept.end(name, [ALICE])
    kept.end(name, [ALICE])
    assert kept.find(name, [ALICE]) is None


def test_the_oldest_makes_room(kept: Sessions) -> None:
    names = [kept.begin(ALICE) for _ in range(MOST + 1)]
    assert kept.find(names[0], [ALICE]) is None
    assert kept.find(names[1], [ALICE]) == ALICE
    assert kept.find(names[-1], [ALICE]) == ALICE


def test_ended_ones_are_forgotten(kept: Sessions, watch: Watch) -> None:
    kept.begin(ALICE)
    watch.at += SECONDS
    kept.begin(ALICE)
    assert len(kept._sessions) == 1


def test_the_cookie_has_one_name() -> None:
    assert sessions.COOKIE == "otao_session"


@pytest.fixture
def shared(watch: Watch) -> tuple[Sessions, Sessions]:
    """Those of two replicas."""
    replicas = Sessions(Watch(), watch), Sessions(Watch(), watch)
    for replica in replicas:
        replica.share("secret")
    return replicas


def test_replicas_that_share_a_secret_know_each_others_sessions(shared: tuple[Sessions, Sessions]) -> None:
    here, there = shared
    session = here.begin(ALICE)
    assert session != here.begin(ALICE)
    assert there.find(session, [BOB, ALICE]) == ALICE
    assert there.find(session, [BOB]) is None


def test_a_shared_session_cannot_be_made_or_lengthened_without_the_secret(
    shared: tuple[Sessions, Sessions], watch: Watch
) -> None:
    here, there = shared
    strange = Sessions(Watch(), watch)
    strange.share("another")
    ends, chance, signature = here.begin(ALICE).split(".")
    wrong = [
        f"{int(ends) + 1}.{chance}.{signature}",
        f"{ends}.{chance}.",
        f"{ends}.{chance}.\u00fc",
        "..",
        "x.y.z",
        "",
        f"{'9' * 5000}.x.y",
    ]
    for given in [*wrong, strange.begin(ALICE)]:
        assert there.find(given, [ALICE]) is None


def test_a_shared_session_ends_after_its_time_and_where_its_owner_signs_out(
    shared: tuple[Sessions, Sessions], watch: Watch
) -> None:
    here, there = shared
    first, second = here.begin(ALICE), here.begin(ALICE)
    there.end(first, [BOB, ALICE])
    assert there.find(first, [ALICE]) is None
    watch.at = SECONDS - 1
    assert there.find(second, [ALICE]) == ALICE
    watch.at = SECONDS + 1
    assert there.find(second, [ALICE]) is None


def test_who_signed_out_elsewhere_before_is_learnt(shared: tuple[Sessions, Sessions]) -> None:
    here, there = shared
    first, second = here.begin(ALICE), here.begin(ALICE)
    ended = here.shared(first, [ALICE]) or ("", 0.0)
    assert ended == (first.rpartition(".")[0], SECONDS)
    assert here.shared(f"{first}x", [ALICE]) is None
    there.learn(dict([ended]))
    assert (there.find(first, [ALICE]), there.find(second, [ALICE])) == (None, ALICE)
    assert there.shared(first, [ALICE]) is None


def test_those_who_signed_out_are_remembered_until_their_sessions_would_have_ended(
    shared: tuple[Sessions, Sessions], watch: Watch
) -> None:
    here, _ = shared
    for at in (0, SECONDS - 1, SECONDS):
        watch.at = at
        here.end(here.begin(ALICE), [ALICE])
    assert len(here._left) == 2


def test_what_is_no_session_is_not_remembered_as_one_that_was_signed_out_of(
    shared: tuple[Sessions, Sessions], watch: Watch
) -> None:
    here, _ = shared
    session = here.begin(ALICE)
    for given in (f"{session}x", "x" * 8000, f"{'9' * 5000}.x.y", ""):
        here.end(given, [ALICE])
    here.end(session, [BOB])
    assert here._left == {}
    watch.at = SECONDS
    here.end(session, [ALICE])
    assert here._left == {}


def test_of_too_many_who_signed_out_the_first_is_forgotten(
    shared: tuple[Sessions, Sessions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_LEFT", 2)
    here, _ = shared
    begun = [here.begin(ALICE) for _ in range(3)]
    for session in begun:
        here.end(session, [ALICE])
    assert [here.find(session, [ALICE]) for session in begun] == [ALICE, None, None]
