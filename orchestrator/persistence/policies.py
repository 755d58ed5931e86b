"""The knobs of rollouts as texts of a column, and back.

Rules:
- `parse` is the inverse of `build`; spans and instants are kept to the millisecond.
- A text of a version that knew fewer knobs is read with the defaults of the others.

Layer: persistence; pure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from orchestrator.domain.policies import (
    UNLIMITED,
    Attempts,
    Exponential,
    Limits,
    OnClose,
    OnFailure,
    RolloutPolicy,
    Stage,
    Window,
)
from orchestrator.persistence.instants import from_ms_or_none, to_ms_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_MILLISECOND = timedelta(milliseconds=1)


def build(policy: RolloutPolicy, start: datetime | None) -> str:
    """The text of all knobs; `start` is that of the whole rollout."""
    return _dumped(
        {
            "startMs": to_ms_or_none(start),
            "endMs": to_ms_or_none(policy.end),
            "stages": [_stage(stage) for stage in policy.stages],
            "limits": _limits(policy.limits),
            "max": policy.attempts.max,
            "backoffMs": policy.attempts.backoff // _MILLISECOND,
            "returns": policy.attempts.returns,
            "installingMs": policy.installing // _MILLISECOND,
            "window": None if policy.window is None else _window(policy.window),
            "consent": policy.consent,
            "onFailure": None if policy.on_failure is None else policy.on_failure.value,
        }
    )


def parse(text: str) -> tuple[RolloutPolicy, datetime | None]:
    """The inverse."""
    stored = orjson.loads(text)
    limits, window, on_failure = (stored.get(name) for name in ("limits", "window", "onFailure"))
    policy = RolloutPolicy(
        stages=tuple(_stage_of(stage) for stage in stored.get("stages", ())),
        limits=UNLIMITED if limits is None else _limits_of(limits),
        attempts=Attempts(max=stored["max"], backoff=stored["backoffMs"] * _MILLISECOND, returns=stored["returns"]),
        installing=stored["installingMs"] * _MILLISECOND,
        window=None if window is None else _window_of(window),
        consent=stored.get("consent"),
        on_failure=None if on_failure is None else OnFailure(on_failure),
        end=from_ms_or_none(stored.get("endMs")),
    )
    return policy, from_ms_or_none(stored["startMs"])


def build_limits(limits: Limits) -> str | None:
    """The text of an application's limits, which have only these two; None: there are none."""
    if limits.per_minute is None and limits.in_progress is None:
        return None
    return _dumped({"perMinute": limits.per_minute, "inProgress": limits.in_progress})


def parse_limits(text: str | None) -> Limits:
    """The inverse."""
    if text is None:
        return UNLIMITED
    stored = orjson.loads(text)
    return Limits(per_minute=stored["perMinute"], in_progress=stored["inProgress"])


def _dumped(document: Mapping[str, Any]) -> str:
    return orjson.dumps(document).decode()


def _stage(stage: Stage) -> Mapping[str, Any]:
    return {
        "percent": stage.percent,
        "count": stage.count,
        "filterId": stage.filter_id,
        "soakMs": stage.soak // _MILLISECOND,
        "soakReports": stage.soak_reports,
        "maxFailureRate": stage.max_failure_rate,
        "minAttempted": stage.min_attempted,
        "maxUnhealthyRate": stage.max_unhealthy_rate,
        "approval": stage.approval,
    }


def _stage_of(stored: Mapping[str, Any]) -> Stage:
    return Stage(
        percent=stored["percent"],
        count=stored["count"],
        filter_id=stored["filterId"],
        soak=stored["soakMs"] * _MILLISECOND,
        soak_reports=stored["soakReports"],
        max_failure_rate=stored["maxFailureRate"],
        min_attempted=stored["minAttempted"],
        max_unhealthy_rate=stored["maxUnhealthyRate"],
        approval=stored["approval"],
    )


def _limits(limits: Limits) -> Mapping[str, Any]:
    growth = limits.exponential
    return {
        "perMinute": limits.per_minute,
        "inProgress": limits.in_progress,
        "claimMs": limits.claim // _MILLISECOND,
        "exponential": None
        if growth is None
        else {
            "base": growth.base,
            "factor": growth.factor,
            "notified": growth.notified,
            "succeeded": growth.succeeded,
        },
    }


def _limits_of(stored: Mapping[str, Any]) -> Limits:
    growth = stored["exponential"]
    return Limits(
        per_minute=stored["perMinute"],
        in_progress=stored["inProgress"],
        claim=stored["claimMs"] * _MILLISECOND,
        exponential=None if growth is None else Exponential(**growth),
    )


def _window(window: Window) -> Mapping[str, Any]:
    return {
        "cron": window.cron,
        "durationMs": window.duration // _MILLISECOND,
        "timeZone": window.time_zone,
        "onClose": window.on_close.value,
    }


def _window_of(stored: Mapping[str, Any]) -> Window:
    return Window(
        cron=stored["cron"],
        duration=stored["durationMs"] * _MILLISECOND,
        time_zone=stored["timeZone"],
        on_close=OnClose(stored["onClose"]),
    )
