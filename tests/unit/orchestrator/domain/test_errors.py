"""Every error of the decision core has a stable code of its own and one root."""

from __future__ import annotations

import re

from orchestrator.domain.attempts import AttemptState, IllegalMove
from orchestrator.domain.catalogues import VersionConflict
from orchestrator.domain.errors import DomainError
from orchestrator.domain.filters import FilterSyntaxError
from orchestrator.domain.versions import InvalidConstraint, InvalidVersion
from orchestrator.domain.windows import WindowError
from tests.unit.orchestrator.domain.builders import v

ERRORS = (
    InvalidVersion("x"),
    InvalidConstraint("x", "why"),
    FilterSyntaxError(3, "why"),
    VersionConflict(v("1.0.0+a"), v("1.0.0+b")),
    IllegalMove(AttemptState.FAILED, AttemptState.OFFERED),
    WindowError("cron", "why"),
)


def test_codes_are_kebab_case_and_unique() -> None:
    codes = [error.code for error in ERRORS]
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert len(set(codes)) == len(codes)


def test_the_root_catches_all_and_each_builds_its_own_sentence() -> None:
    assert all(isinstance(error, DomainError) for error in ERRORS)
    assert str(ERRORS[2]) == "column 3: why"
    assert str(ERRORS[3]) == "1.0.0+b has the same precedence as 1.0.0+a, which is defined: build metadata never counts"
    assert str(ERRORS[4]) == "an attempt does not move from failed to offered"


def test_a_long_text_is_not_repeated_whole() -> None:
    assert len(str(InvalidVersion("9" * 10_000))) < 300
    assert len(str(InvalidConstraint("9" * 10_000, "long"))) < 700
