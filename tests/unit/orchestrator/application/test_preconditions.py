"""Optimistic concurrency: the table of what is required and what is there."""

from __future__ import annotations

import pytest

from orchestrator.application.preconditions import ANY, UNCONDITIONAL, Precondition
from orchestrator.application.problems import PreconditionFailedError, PreconditionRequiredError

NOTHING = Precondition()
SEEN = Precondition(tags=frozenset({"a", "b"}))
ABSENT = Precondition(absent=True)


@pytest.mark.parametrize(
    ("required", "present"), [(NOTHING, None), (ABSENT, None), (SEEN, "a"), (SEEN, "b"), (UNCONDITIONAL, "x")]
)
def test_what_is_as_required_may_be_written(required: Precondition, present: str | None) -> None:
    required.check(present)


@pytest.mark.parametrize(
    ("required", "present"),
    [
        (SEEN, None),
        (UNCONDITIONAL, None),
        (SEEN, "c"),
        (ABSENT, "a"),
        (Precondition(tags=frozenset(), absent=False), "a"),
        (Precondition(tags=frozenset({ANY}), absent=True), "a"),
    ],
)
def test_what_is_not_as_required_is_left_alone(required: Precondition, present: str | None) -> None:
    with pytest.raises(PreconditionFailedError):
        required.check(present)


def test_what_exists_needs_a_precondition() -> None:
    with pytest.raises(PreconditionRequiredError, match="If-Match"):
        NOTHING.check("a")
