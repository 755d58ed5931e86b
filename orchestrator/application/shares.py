"""Which replica serves which partition: each the same number, as far as that goes.

Rules:
- Whoever has the fewest takes what nobody holds, at once; of several the one whose name comes first. So all replicas
  draw up the same plan from what they see, and each does its own part of it.
- While everything is held, whoever has the most hands one over when somebody has at least two fewer.
- What is not among the partitions that one knows of counts for nobody: it is of a replica that knows of more.
- What was not taken by whom it was meant for goes to anybody (`PATIENCE_SECONDS`): that one may be about to end.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

PATIENCE_SECONDS = 1.0
"""So long a partition that nobody holds is left to the one that has the fewest."""
_APART = 2


def takers(partitions: Sequence[str], holders: Mapping[str, str], present: Collection[str]) -> dict[str, str]:
    """Who is to take each partition that nobody holds; `holders` and `present` name replicas, at least one present."""
    held = _amounts(partitions, holders, present)
    plan = {}
    for partition in partitions:
        if partition not in holders:
            taker = min(present, key=lambda name: (held[name], name))
            plan[partition] = taker
            held[taker] += 1
    return plan


def handover(partitions: Sequence[str], holders: Mapping[str, str], present: Collection[str]) -> tuple[str, str] | None:
    """The replica that has to hand something over, and the partition; None: all is well, or something is on its way."""
    if any(partition not in holders for partition in partitions):
        return None
    held = _amounts(partitions, holders, present)
    most = max(present, key=lambda name: (held[name], name))
    if held[most] - min(held[name] for name in present) < _APART:
        return None
    return most, next(partition for partition in reversed(partitions) if holders[partition] == most)


def _amounts(partitions: Sequence[str], holders: Mapping[str, str], present: Collection[str]) -> dict[str, int]:
    held = dict.fromkeys(present, 0)
    for partition in partitions:
        replica = holders.get(partition)
        if replica in held:
            held[replica] += 1
    return held
