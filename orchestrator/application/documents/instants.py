"""Instants as texts.

Rules:
- Read with any offset, kept and written in UTC, to the millisecond: that is what databases hold.

Spec: RFC 3339 §5.6.
Layer: application; pure.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def parse(text: str) -> datetime:
    """The instant, cut to the millisecond; the inverse of `build`.

    Raises:
        ValueError: `text` is not RFC 3339 with an offset, names no real moment, or one before 1970.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("must be an RFC 3339 date and time with an offset, such as 2026-12-01T08:00:00Z")
    date, time, fraction, offset = match.groups()
    milliseconds = (fraction or ".")[1:4].ljust(3, "0")
    try:
        at = datetime.fromisoformat(f"{date}T{time}.{milliseconds}{offset.upper().replace('Z', '+00:00')}")
        at = at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("names no real moment") from error
    if at < _EARLIEST:
        raise ValueError("must not lie before 1970")
    return at


def build(at: datetime) -> str:
    """RFC 3339 in UTC with `Z`; milliseconds only when there are some."""
    moment = at.astimezone(UTC)
    timespec = "milliseconds" if moment.microsecond >= 1000 else "seconds"  # noqa: PLR2004 - microseconds in one
    return moment.isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def build_optional(at: datetime | None) -> str | None:
    """The same, None staying None."""
    return None if at is None else build(at)
