"""How an endpoint says that it fares with what it runs, an extension beside 7/CMP's resources: `health/json[/<id>]`.

Rules:
- Health never says that a version runs; only reports do. Without `configId` it is about what the endpoint runs.
- `healthy` is required; `reason` is for people.
- `metrics` is flat: at most 32 members, whose names match `^[a-zA-Z0-9_.-]{1,64}$` and whose values are numbers,
  strings or booleans that can be stored.

Layer: protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from protocol import fields, payloads
from protocol.errors import MemberTypeError, MetricCountError, MetricNameError
from protocol.payloads import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.payloads import JsonValue, Limits
    from protocol.topics import Address

Metric: TypeAlias = "bool | int | float | str"

METRICS = 32
"""How many metrics one report may have."""
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_MEMBERS = frozenset({"healthy", "reason", "metrics", "configId"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """An endpoint says whether it fares well with a version."""

    address: Address
    healthy: bool
    reason: str | None
    """At most 500 characters; the rest of a longer one is dropped."""
    metrics: Mapping[str, Metric] | None
    """At most 32, in the order in which they came; None: none were sent."""
    config_id: str | None
    """The version that it is about; None: what the endpoint runs."""


def decode(address: Address, payload: bytes, limits: Limits = DEFAULT_LIMITS) -> HealthReport:
    """Read a health report; the inverse of `encode`.

    Raises:
        PayloadError: the payload is not such a report.
    """
    members = payloads.decode_object(payload, limits)
    fields.refuse_unknown(members, _MEMBERS)
    return HealthReport(
        address=address,
        healthy=fields.required_flag(members, "healthy"),
        reason=fields.phrase(members, "reason"),
        metrics=_metrics(members.get("metrics")),
        config_id=fields.version(members, "configId") if "configId" in members else None,
    )


def encode(
    *,
    healthy: bool,
    reason: str | None = None,
    metrics: Mapping[str, Metric] | None = None,
    config_id: str | None = None,
) -> bytes:
    """A health report; members that are None are left out."""
    members: dict[str, JsonValue] = {
        "healthy": healthy,
        "reason": reason,
        "metrics": None if metrics is None else {**metrics},
        "configId": config_id,
    }
    return payloads.encode({name: value for name, value in members.items() if value is not None})


def _metrics(value: JsonValue) -> dict[str, Metric] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise MemberTypeError("metrics", "an object or null")
    if len(value) > METRICS:
        raise MetricCountError(len(value), METRICS)
    return {name: _metric(name, item) for name, item in value.items()}


def _metric(name: str, value: JsonValue) -> Metric:
    if not _NAME.fullmatch(name):
        raise MetricNameError(name)
    if not isinstance(value, bool | int | float | str):
        raise MemberTypeError(f"metrics.{name}", "a number, a string or a boolean")
    payloads.storable(value)
    return value
