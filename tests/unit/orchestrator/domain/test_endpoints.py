"""What is known of an endpoint."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import Consent, Endpoint, HistoryKind, Setback, TokenState
from tests.unit.orchestrator.domain.builders import HOUR, NOW, endpoint, offer, v


@pytest.mark.parametrize("state", AttemptState)
def test_the_offer_is_the_attempt_while_it_is_offered_or_installing(state: AttemptState) -> None:
    attempt = replace(offer(), state=state)
    expected = attempt if state.value in ("offered", "installing") else None
    assert endpoint(attempt=attempt).offer == expected


def test_a_new_endpoint_has_no_offer() -> None:
    fresh = endpoint(None)
    assert (fresh.offer, fresh.sequence, fresh.observe, fresh.token_state) == (None, 0, True, TokenState.ACTIVE)


def test_a_message_changes_what_it_says_and_keeps_every_other_field() -> None:
    full = Endpoint(
        running=v("1.0.0"),
        running_since=NOW - HOUR,
        last_seen_at=NOW - HOUR,
        registered_at=NOW - 2 * HOUR,
        observe=False,
        token_state=TokenState.SUSPENDED,
        pinned=v("3.0.0"),
        sequence=7,
        attempt=offer(),
        setbacks={v("2.0.0"): Setback(failures=1)},
        filters=frozenset({"canary"}),
        consents={v("3.0.0"): Consent(granted=True, at=NOW)},
        asked=v("3.0.0"),
        consulted=True,
        cohort=7,
        zone="Europe/Berlin",
        key=7,
    )
    fresh = Endpoint(registered_at=NOW)
    assert all(getattr(full, field.name) != getattr(fresh, field.name) for field in fields(full))
    assert full.heard(NOW, running=v("1.0.0"), attempt=full.attempt) == replace(full, last_seen_at=NOW)
    expected = replace(full, running=v("1.1.0"), running_since=NOW, last_seen_at=NOW, attempt=None)
    assert full.heard(NOW, running=v("1.1.0"), attempt=None) == expected
    # It takes no part in comparison.
    assert full.heard(NOW, attempt=None).key == 7


def test_other_build_metadata_is_the_same_version_and_is_kept_as_reported() -> None:
    before = replace(endpoint("1.0.0+a"), running_since=NOW - HOUR)
    after = before.heard(NOW, running=v("1.0.0+b"), attempt=None)
    assert after.running is not None
    assert (after.running.text, after.running_since) == ("1.0.0+b", NOW - HOUR)


def test_history_kinds_keep_their_places() -> None:
    # Storage keeps the position: append, never reorder.
    assert [kind.value for kind in HistoryKind] == [
        "reported",
        "offered",
        "installing",
        "confirmed",
        "failed",
        "reverted",
        "expired",
        "withdrawn",
        "returned",
        "retried",
        "consented",
        "refused",
        "asserted",
        "soaking",
        "unhealthy",
        "recovered",
        "asked",
        "retired",
    ]
