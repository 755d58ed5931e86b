"""What is known of an endpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import HistoryKind, TokenState
from tests.unit.orchestrator.domain.builders import endpoint, offer


@pytest.mark.parametrize("state", AttemptState)
def test_the_offer_is_the_attempt_while_it_is_offered_or_installing(state: AttemptState) -> None:
    attempt = replace(offer(), state=state)
    expected = attempt if state.value in ("offered", "installing") else None
    assert endpoint(attempt=attempt).offer == expected


def test_a_new_endpoint_has_no_offer() -> None:
    fresh = endpoint(None)
    assert (fresh.offer, fresh.sequence, fresh.observe, fresh.token_state) == (None, 0, True, TokenState.ACTIVE)


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
    ]
