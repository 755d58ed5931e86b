"""What is said when it cannot be shown."""

from __future__ import annotations

from orchestrator.cli.demos.errors import ChildFailedError, RefusedCallError


def test_both_end_the_command_with_1_and_say_who_and_what() -> None:
    assert str(ChildFailedError("broker", "ended", "")) == "broker ended"
    assert str(ChildFailedError("broker", "ended", "a\nb")) == "broker ended; the end of its log:\n  a\n  b"
    assert str(RefusedCallError("GET /x", "404")) == "GET /x: 404"
    assert ChildFailedError.exit_code == RefusedCallError.exit_code == 1
