"""Whether a topic is one of those that were subscribed to.

Rules:
- `+` stands for one level, `#` for any number of last ones, also none; neither for a first level that begins with `$`.

Spec: MQTT 3.1.1 §4.7.
Layer: adapter; pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def matcher(topic_filters: Iterable[str]) -> Callable[[str], bool]:
    """A function that says whether a topic matches any of these filters."""
    pattern = re.compile(
        "|".join(f"(?:{_pattern(topic_filter)})" for topic_filter in topic_filters) or "(?!)", re.DOTALL
    )
    return lambda topic: pattern.fullmatch(topic) is not None


def _pattern(topic_filter: str) -> str:
    levels = topic_filter.split("/")
    many = levels[-1] == "#"
    pattern = "/".join("[^/]*" if level == "+" else re.escape(level) for level in (levels[:-1] if many else levels))
    if many:
        pattern = f"{pattern}(?:/.*)?" if levels[:-1] else ".*"
    return rf"(?!\$){pattern}" if levels[0] in {"+", "#"} else pattern
