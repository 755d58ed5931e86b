"""Spans of time as texts: `PT10M`, `P1DT12H`, `P2W`.

Rules:
- Weeks, days, hours, minutes and seconds; years and months have no fixed length and are refused.
- Whole numbers only; at most ten years; at least one second, where zero means nothing.

Spec: ISO 8601-1:2019 §5.5.2, without years, months and fractions.
Layer: application; pure.
"""

from __future__ import annotations

import re
from datetime import timedelta

LONGEST = timedelta(days=3653)
_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,9})W|"
    r"(?=\d|T\d)(?:(?P<days>\d{1,9})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9})S)?)?)",
    re.ASCII,
)


def parse(text: str) -> timedelta:
    """The span; the inverse of `build`.

    Raises:
        ValueError: `text` is no such duration, is zero, or longer than `LONGEST`.
    """
    span = _read(text)
    if not timedelta(0) < span <= LONGEST:
        raise ValueError("must be longer than zero, and at most ten years: such as PT10M, or P7D")
    return span


def parse_or_zero(text: str) -> timedelta:
    """The same, of what may also be zero, such as `PT0S`.

    Raises:
        ValueError: `text` is no such duration, or longer than `LONGEST`.
    """
    span = _read(text)
    if span > LONGEST:
        raise ValueError("must be at most ten years, P3653D")
    return span


def _read(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        if "-" in text:
            raise ValueError("must not be negative: leave out the minus")
        raise ValueError("must be an ISO 8601 duration of weeks, or of days, hours, minutes and seconds, such as PT10M")
    try:
        return timedelta(**{unit: int(digits) for unit, digits in match.groupdict().items() if digits is not None})
    except OverflowError:
        return timedelta.max


def build(span: timedelta) -> str:
    """Days, hours, minutes and seconds; parts of a second are dropped."""
    minutes, seconds = divmod(int(span.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    time = "".join(f"{amount}{unit}" for amount, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if amount)
    return f"P{f'{days}D' if days else ''}{f'T{time}' if time else ''}" if days or time else "PT0S"
