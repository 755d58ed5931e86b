"""How a stage is judged by its attempts: it passes, it fails, or it waits, and why in one clause.

Rules:
- Only verdicts count: confirmed, failed, reverted, expired. An endpoint that was never reached is no verdict, and is
  not open either: nothing is to be expected of it.
- A stage fails on evidence only: enough verdicts, and the whole confidence interval of the failure rate above the
  limit. When nothing is open, and so no more evidence can come, the rate itself decides. But as long as verdicts are
  too few and some were not heard since their offer, these are taken for successes, and the interval decides: devices
  that say nothing before they are done would else make it fail with the first of them that does not succeed.
- Failures are known at once, successes only after their soak: so the rate among all that came to the version, those
  that still soak included, has to be over the limit, too. Else every stage would fail in its first hours.
- It passes with enough verdicts and a rate that is not over the limit; the same rate never does both. Endpoints that
  fall silent while they install are no verdict until their deadline: as long as they could bring the rate over the
  limit, the stage does not pass.
- What an operator acknowledged by resuming is set aside: it is neither a failure nor a verdict any more.
- A stage without endpoints of its own is judged by those of earlier ones that get their offer in it: by all of them, or
  as many as its sample. A last percentage that is waited in by nobody, them included, has nothing to be judged by.
- Health, where the stage asks for it, is judged in the same way, among all that came to run the version.

Spec: docs/explanation/rollouts.md, "The gate"; the interval is Wilson's score interval (E. B. Wilson 1927; method 3 of
R. G. Newcombe 1998).
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import count
from math import floor, log10, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.domain.policies import Stage

Z = 1.96
"""The quantile of the normal distribution for an interval of 95 %."""

_SMALL = 0.1
"""Percentages below it have more than one decimal: one digit that is not 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One stage's attempts, in numbers."""

    offered: int = 0
    """Open ones that have not started, reached or not."""
    installing: int = 0
    """Open ones that have started; they are reached."""
    unreached: int = 0
    """Of the offered ones, those never heard since."""
    soaking: int = 0
    confirmed: int = 0
    failed: int = 0
    reverted: int = 0
    expired: int = 0
    withdrawn: int = 0
    unhealthy: int = 0
    """Of those that soak, confirmed or reverted, those whose last word on their health was that they are not well."""

    @property
    def failures(self) -> int:
        """Verdicts against the version."""
        return self.failed + self.reverted + self.expired

    @property
    def settled(self) -> int:
        """All verdicts."""
        return self.confirmed + self.failures

    @property
    def undecided(self) -> int:
        """Reached ones that have no verdict yet."""
        return self.offered - self.unreached + self.installing + self.soaking

    @property
    def running(self) -> int:
        """Those that run the version, as far as anybody knows."""
        return self.soaking + self.confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a stage is, as last measured."""

    endpoints: int
    """That the stage admits, and that could come to the version, or did."""
    waiting: int
    """Of them, those that nothing was offered yet; of the last stage, those of earlier ones, too."""
    asked: int = 0
    """Of those that wait, who was asked for consent and has not answered."""
    left: int = 0
    """Of them, those that were not offered it, or not to the end, when its rollout ended: nothing comes of them."""


class Verdict(Enum):
    """What becomes of a stage."""

    PASSES = "passes"
    FAILS = "fails"
    WAITS = "waits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A verdict, and what it rests on."""

    verdict: Verdict
    settled: int
    """Verdicts, acknowledged failures set aside."""
    failures: int
    """The same, of them those against the version."""
    needed: int
    """Verdicts without which a stage does not pass; at least 1."""
    rate: float | None
    """Failures among the settled; None: there are none."""
    bounds: tuple[float, float] | None
    """The interval in which the true rate lies."""
    reason: str
    """One clause in plain words, which follows on "stage 2: "."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """A part of a number, beside the limit that it must keep to."""

    name: str
    part: int
    whole: int
    limit: float
    soaking: int = 0
    """Those that may yet join the whole, and are not of the part so far."""
    begun: int = 0
    """Those that may yet join the part."""

    @property
    def rate(self) -> float | None:
        return self.part / self.whole if self.whole else None

    @property
    def bounds(self) -> tuple[float, float] | None:
        return bounds(self.part, self.whole) if self.whole else None

    @property
    def over(self) -> bool:
        return self.whole > 0 and self.part / self.whole > self.limit

    @property
    def surely_over(self) -> bool:
        if not self.whole:
            return False
        return min(bounds(self.part, whole)[0] for whole in (self.whole, self.whole + self.soaking)) > self.limit

    def over_anyway(self, others: int) -> bool:
        """Whether it is over the limit also with so many more that are not of the part."""
        return bounds(self.part, self.whole + others)[0] > self.limit

    @property
    def in_doubt(self) -> bool:
        """Whether those that have begun could bring the rate over the limit."""
        return self.begun > 0 and (self.part + self.begun) / (self.whole + self.begun) > self.limit

    @property
    def measured(self) -> str:
        lower, upper = bounds(self.part, self.whole)
        return f"{self.name} {percent(self.part / self.whole)} ({_digits(lower)}-{percent(upper)})"

    @property
    def compared(self) -> str:
        return f"{self.measured}, limit {percent(self.limit)}"

    @property
    def exceeded(self) -> str:
        # Rounded, the two may read the same.
        how = "just over" if percent(self.part / self.whole) == percent(self.limit) else "over"
        return f"{self.measured} is {how} the limit {percent(self.limit)}"

    @property
    def redeeming(self) -> int:
        """How many more that are not of the part would bring the rate down to the limit, which is above 0."""
        enough = count(max(1, floor(self.part / self.limit) - 1))
        return next(whole for whole in enough if self.part / whole <= self.limit) - self.whole


def bounds(failed: int, settled: int) -> tuple[float, float]:
    """Return Wilson's score interval of `failed / settled` at `Z`; 0 <= failed <= settled, and settled >= 1."""
    rate = failed / settled
    spread = Z * Z / settled
    centre = rate + spread / 2
    margin = sqrt(spread * (rate * (1 - rate) + spread / 4))
    # At the ends the formula gives 0 and 1; rounding must not lift a rate of 0 above a limit of 0.
    lower = (centre - margin) / (1 + spread) if failed else 0.0
    upper = (centre + margin) / (1 + spread) if failed < settled else 1.0
    return lower, upper


def percent(rate: float) -> str:
    """Return a rate as a percentage for people: one decimal unless it is whole; below 0.1 %, the first digit."""
    return f"{_digits(rate)} %"


def judge(
    stage: Stage,
    tally: Tally,
    size: Size | None,
    *,
    acknowledged: int = 0,
    acknowledged_unhealthy: int = 0,
    closing: bool = False,
) -> Ruling:
    """Return how the stage stands.

    Args:
        stage: its knobs; with a limit of 0 it names its sample.
        tally: its attempts.
        size: None: not measured yet; then the stage is taken to be large, and never to have nothing open.
        acknowledged: failures that were seen when an operator resumed. What of them there is no more, because the
            endpoint tries again, is not set aside either.
        acknowledged_unhealthy: the same, of unhealthy endpoints.
        closing: whether it is the last stage, of a percentage, and earlier ones have given verdicts.
    """
    aside = min(acknowledged, tally.failures)
    failing = _Share(
        name="failure rate",
        part=tally.failures - aside,
        whole=tally.settled - aside,
        limit=stage.max_failure_rate,
        soaking=tally.soaking,
        begun=tally.undecided - tally.soaking,
    )
    shares = (failing, *_health(stage, tally, acknowledged_unhealthy))
    needed = stage.sample if size is None else max(1, min(stage.sample, _able(tally, size, aside)))
    verdict, reason = _rule(shares, needed, tally, size)
    come = tally.settled or tally.undecided or tally.unreached
    if closing and size is not None and not (size.endpoints or size.waiting or come):
        verdict, reason = Verdict.PASSES, "every endpoint is in an earlier stage"
    return Ruling(
        verdict=verdict,
        settled=failing.whole,
        failures=failing.part,
        needed=needed,
        rate=failing.rate,
        bounds=failing.bounds,
        reason=reason,
    )


def _able(tally: Tally, size: Size, aside: int) -> int:
    """How many verdicts a stage can give: all its endpoints, but for those acknowledged that do not try again.

    Without endpoints, it gives those of whoever else was offered the version in it, or will be.
    """
    if not size.endpoints:
        return tally.settled - aside + tally.undecided + size.waiting
    able = size.endpoints - size.left
    if not aside:
        return able
    possible = tally.settled - aside + tally.undecided + tally.unreached + size.waiting
    return min(able, max(able - aside, possible))


def _health(stage: Stage, tally: Tally, acknowledged: int) -> tuple[_Share, ...]:
    if stage.max_unhealthy_rate is None:
        return ()
    aside = min(acknowledged, tally.unhealthy)
    ran = tally.running + tally.reverted
    return (
        _Share(name="unhealthy rate", part=tally.unhealthy - aside, whole=ran - aside, limit=stage.max_unhealthy_rate),
    )


def _rule(shares: tuple[_Share, ...], needed: int, tally: Tally, size: Size | None) -> tuple[Verdict, str]:
    failing = shares[0]
    done = size is not None and size.waiting == 0 and tally.undecided == 0
    unheard = tally.unreached if failing.whole < needed else 0
    for share in shares:
        if share.whole >= needed and share.surely_over:
            return Verdict.FAILS, share.exceeded
    over = [share for share in shares if share.over]
    if over and done and not unheard:
        return Verdict.FAILS, f"{over[0].exceeded}, and nothing is open"
    if over and done and over[0].over_anyway(unheard):
        return Verdict.FAILS, f"{over[0].exceeded}, also if the {unheard} that were not heard succeed"
    if failing.whole >= needed and not over and not failing.in_doubt:
        stated = "; ".join(share.compared for share in shares if share.whole)
        return Verdict.PASSES, f"{failing.whole} settled, {needed} needed; {stated}"
    return Verdict.WAITS, "; ".join(_missing(shares, needed, tally, size))


def _missing(shares: tuple[_Share, ...], needed: int, tally: Tally, size: Size | None) -> list[str]:
    failing = shares[0]
    stated = [share.compared for share in shares if share.whole]
    if size is not None and size.endpoints < tally.offered + tally.installing + tally.soaking:
        # Each of them is another endpoint: the stage was measured before they came.
        size = None
    if failing.whole >= needed:
        undecided = f"undecided after {failing.whole} {'verdict' if failing.whole == 1 else 'verdicts'}: {stated[0]}"
        redeemed = [f"{failing.redeeming} more confirmed would do"] if failing.over else []
        silent = [_silent(failing.begun)] if failing.in_doubt and not failing.over else []
        return [undecided, *stated[1:], *redeemed, *silent, *_open(tally, size)]
    have = "has" if failing.whole == 1 else "have"
    if failing.whole or tally.undecided:
        head = f"{failing.whole} of {needed} needed {have} settled"
    elif size is not None and not (size.endpoints or size.waiting):
        return ["no endpoint is in the stage yet: approve to go on"]
    elif tally.settled:
        head = "no verdict since it was resumed"
    else:
        head = "nobody was reached yet"
    return [head, *stated, *([] if tally.undecided else _stuck(tally, size))]


def _silent(begun: int) -> str:
    have = "has" if begun == 1 else "have"
    return f"{begun} {have} begun and not said how it went, which may be failures"


def _open(tally: Tally, size: Size | None) -> list[str]:
    waiting = size.waiting if size is not None else 0
    return [
        *([f"{_are(tally.undecided)} open"] if tally.undecided else []),
        *([f"{_wait(waiting)} for an offer"] if waiting else []),
    ]


def _stuck(tally: Tally, size: Size | None) -> list[str]:
    """Why no verdict is under way."""
    unheard = f"{tally.unreached} {'was' if tally.unreached == 1 else 'were'} offered it and not heard since"
    if size is None or size.waiting:
        return [*_open(tally, size), *([unheard] if tally.unreached else [])]
    if tally.unreached:
        return [f"{unheard}: approve to go on without {'it' if tally.unreached == 1 else 'them'}"]
    return ["nothing is open: approve to go on"]


def _are(number: int) -> str:
    return f"{number} {'is' if number == 1 else 'are'}"


def _wait(number: int) -> str:
    return f"{number} {'waits' if number == 1 else 'wait'}"


def _digits(rate: float) -> str:
    value = 100 * rate
    decimals = 1 if value == 0 or value >= _SMALL else -floor(log10(value))
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".")
