"""Sets of small numbers as integers: bit i is set when i is a member.

The graph of a thousand versions may have half a million edges; in this form a step of a search costs one `|`.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def members(bits: int) -> Iterator[int]:
    """Yield the members, ascending."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def highest(bits: int) -> int | None:
    """Return the greatest member; None of the empty set."""
    return bits.bit_length() - 1 if bits else None


def span(low: int, high: int) -> int:
    """Return the set of `low` to `high` - 1; empty when there are none."""
    return (1 << high) - (1 << low) if high > low else 0
