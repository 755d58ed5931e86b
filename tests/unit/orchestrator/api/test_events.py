from __future__ import annotations

import pytest

from orchestrator.api import events
from orchestrator.api.problems import ParameterError
from orchestrator.application.documents.events import KINDS


def test_types_are_chosen_by_name_and_by_family_and_what_was_missed_is_always_told() -> None:
    assert events._kinds(None) == KINDS
    assert events._kinds("summary") == {"summary", "events.dropped"}
    assert events._kinds("freeze.*,endpoint.failed") == {
        "freeze.set",
        "freeze.lift",
        "endpoint.failed",
        "events.dropped",
    }


@pytest.mark.parametrize("given", ["", "endpoint", "endpoint.", "*", "end*", "nothing.*", "summary,", "Summary"])
def test_what_is_no_type_is_refused(given: str) -> None:
    with pytest.raises(ParameterError, match="types"):
        events._kinds(given)


def test_a_number_of_an_event_is_read() -> None:
    assert events._number(None) is None
    assert events._number("  ") is None
    assert events._number(" 1763930000000000 ") == 1_763_930_000_000_000


@pytest.mark.parametrize("given", ["x", "-1", "1.0", "9" * 19, "\u0661"])
def test_what_is_no_number_of_an_event_is_refused(given: str) -> None:
    with pytest.raises(ParameterError, match="Last-Event-ID"):
        events._number(given)
