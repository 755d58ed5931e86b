"""How a fleet is mixed: `1.0.0=60%,1.1.0=40%`, `failing-install=2%,offline=3`.

Rules:
- A share is a percentage, or a number of devices; both may stand in one mix.
- Percentages become whole devices by largest remainder, so that shares of 100 % give every device one name.
- Who gets what depends on the seed and the mix alone.

Layer: device_sim; pure: chance comes in as an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from device_sim.errors import PlanError

if TYPE_CHECKING:
    import random

_SHARE = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,6})?)(?P<percent>%?)")
_HUNDRED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many devices get a name: a whole number of them, or a part of all."""

    name: str
    devices: int = 0
    part: Fraction = Fraction(0)
    """0-1 of all devices; then `devices` is 0."""

    def __str__(self) -> str:
        """Return the share as it is written in a mix."""
        return f"{self.name}={float(self.part * _HUNDRED):.10g}%" if self.part else f"{self.name}={self.devices}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Names and their shares, in the order in which they were given."""

    shares: tuple[Share, ...] = ()

    def __str__(self) -> str:
        """Return the mix as `parse` reads it."""
        return ",".join(map(str, self.shares))

    def counts(self, total: int) -> dict[str, int]:
        """How many of `total` devices get each name; together at most `total`.

        Raises:
            PlanError: the shares are more than all devices.
        """
        counts = {share.name: share.devices for share in self.shares}
        exact = {share.name: share.part * total for share in self.shares if share.part}
        counts |= {name: int(amount) for name, amount in exact.items()}
        left = round(sum(exact.values())) - sum(map(int, exact.values()))
        for name in sorted(exact, key=lambda name: int(exact[name]) - exact[name])[:left]:
            counts[name] += 1
        if sum(counts.values()) > total:
            raise PlanError(f"{self} is more than the {total} devices that there are")
        return counts

    def deal(self, total: int, chance: random.Random) -> list[str | None]:
        """A name for each of `total` devices, in random order; None for those that no share is for.

        Raises:
            PlanError: the shares are more than all devices.
        """
        dealt: list[str | None] = [name for name, amount in self.counts(total).items() for _ in range(amount)]
        dealt += [None] * (total - len(dealt))
        chance.shuffle(dealt)
        return dealt


def parse(text: str) -> Mix:
    """Read a mix; blank text is the empty one. A name without a share is for all devices: `1.0.0` is `1.0.0=100%`.

    Raises:
        PlanError: a share is neither a whole number nor a percentage, a name is empty or twice there, or the
            percentages are over 100.
    """
    shares = tuple(_share(item.strip()) for item in text.split(",")) if text.strip() else ()
    names = [share.name for share in shares]
    if len(set(names)) != len(names):
        raise PlanError(f"{text!a} has a name twice")
    if sum(share.part for share in shares) > 1:
        raise PlanError(f"{text!a} has more than 100 %")
    return Mix(shares=shares)


def _share(item: str) -> Share:
    name, equals, amount = item.rpartition("=")
    if not equals:
        name, amount = item, "100%"
    matched = _SHARE.fullmatch(amount.strip())
    if not name.strip() or matched is None or not (matched["percent"] or matched["number"].isdigit()):
        raise PlanError(f"{item!a} is no share: it looks like NAME=5% or NAME=3")
    if matched["percent"]:
        return Share(name=name.strip(), part=Fraction(matched["number"]) / _HUNDRED)
    return Share(name=name.strip(), devices=int(matched["number"]))
