"""Facts: which status codes are a success."""

from __future__ import annotations

import pytest

from orchestrator.domain.facts import Reported
from tests.unit.orchestrator.domain.builders import NOW, v


@pytest.mark.parametrize(
    ("code", "expected"),
    [(200, True), (204, True), (299, True), (100, False), (199, False), (300, False), (404, False), (0, False)],
)
def test_only_2xx_is_success(code: int, expected: bool) -> None:
    assert Reported(version=v("1.0.0"), status_code=code, at=NOW).succeeded is expected


def test_a_report_without_a_code_is_a_success() -> None:
    assert Reported(version=v("1.0.0"), at=NOW).succeeded
