"""The state of a rollout as one JSON text, and back.

Rules: `build` and `parse` are inverse; a rollout that nothing has happened to is NULL.
Layer: persistence; no I/O.
"""

from __future__ import annotations

from typing import Any

import orjson

from orchestrator.application.records import RolloutStatus, StageMark
from orchestrator.domain.rollouts import STARTED, Phase, Rollout
from orchestrator.persistence.instants import from_ms_or_none, to_ms_or_none

_FRESH = RolloutStatus()


def build(rollout: Rollout, status: RolloutStatus) -> str | None:
    """The text of a rollout's state."""
    if rollout == STARTED and status == _FRESH:
        return None
    return orjson.dumps(
        {
            "phase": rollout.phase.value,
            "stage": rollout.stage,
            "members": [sorted(members) for members in rollout.members],
            "sinceMs": to_ms_or_none(status.since),
            "by": status.by,
            "reason": status.reason,
            "marks": [_build_mark(mark) for mark in status.marks],
        }
    ).decode()


def parse(text: str | None) -> tuple[Rollout, RolloutStatus]:
    """The inverse."""
    if text is None:
        return STARTED, _FRESH
    stored = orjson.loads(text)
    # Databases from before stages knew whom they take in by name have none: the gates take them in again.
    members = tuple(map(frozenset, stored.get("members", ())))
    rollout = Rollout(phase=Phase(stored["phase"]), stage=stored["stage"], members=members)
    status = RolloutStatus(
        since=from_ms_or_none(stored["sinceMs"]),
        by=stored["by"],
        reason=stored["reason"],
        marks=tuple(_parse_mark(mark) for mark in stored["marks"]),
    )
    return rollout, status


def _build_mark(mark: StageMark) -> dict[str, int | None]:
    return {
        "acknowledged": mark.acknowledged,
        "unhealthy": mark.acknowledged_unhealthy,
        "passedMs": to_ms_or_none(mark.passed_at),
        "endpoints": mark.endpoints,
        "failures": mark.failures,
        "reverted": mark.reverted,
    }


def _parse_mark(stored: dict[str, Any]) -> StageMark:
    return StageMark(
        acknowledged=stored["acknowledged"],
        acknowledged_unhealthy=stored["unhealthy"],
        passed_at=from_ms_or_none(stored["passedMs"]),
        endpoints=stored["endpoints"],
        # Databases from before it was noted do not have it.
        failures=stored.get("failures"),
        reverted=stored.get("reverted", 0),
    )
