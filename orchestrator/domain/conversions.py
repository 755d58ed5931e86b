"""What texts name: the instant of `timestamp(…)`, the version of `semver(…)`; and numbers as databases hold them.

Rules:
- A text that names none converts to None, never to an exception: it comes from endpoints.
- Instants are kept to the microsecond; what is finer is cut off.

Spec: RFC 3339 §5.6, with the range of CEL's timestamps (years 1 to 9999); SemVer 2.0.0.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from orchestrator.domain.versions import InvalidVersion, Version

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_INT64 = range(-(2**63), 2**63)


@lru_cache(maxsize=16384)
def instant(text: str) -> datetime | None:
    """Return the instant that a text names, in UTC; None when it is not RFC 3339 with an offset."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    date, time, fraction, offset = match.groups()
    microseconds = (fraction or "0")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{date}T{time}.{microseconds}{offset.replace('Z', '+00:00')}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def microseconds(at: datetime) -> int:
    """Return the microseconds since the epoch."""
    return (at - EPOCH) // _MICROSECOND


def stored(at: datetime) -> datetime:
    """Return an instant as storage gives it back: cut to the millisecond."""
    return EPOCH + (at - EPOCH) // _MILLISECOND * _MILLISECOND


def version(text: str) -> Version | None:
    """Return the version that a text names; None when it is not strict SemVer."""
    try:
        return Version.parse(text)
    except InvalidVersion:
        return None


def whole(value: int) -> int | float:
    """Return a whole number as databases hold it: one of more than 64 bits becomes a double."""
    return value if value in _INT64 else float(value)
