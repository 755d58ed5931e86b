"""An application's software at one moment, with its edges: built once per change, then only read.

Rules:
- Software is numbered by ascending precedence; sets of it are integers (`bitsets`).
- An edge leads from what an endpoint runs, defined here or not, to the software that may be installed over it;
  never from a version to itself.
- Two definitions that differ in build metadata only are a conflict.

Spec: SemVer 2.0.0 §10, §11.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import windows
from orchestrator.domain.bitsets import members, span
from orchestrator.domain.errors import DomainError
from orchestrator.domain.policies import DEFAULT_POLICY, UNLIMITED
from orchestrator.domain.ranges import RELEASE
from orchestrator.domain.rollouts import rank, shift
from orchestrator.domain.software import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.freezes import Freeze
    from orchestrator.domain.policies import Limits, RolloutPolicy, Window
    from orchestrator.domain.ranges import Bound, Interval
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Constraint, Version

_FOREIGN = 4096
"""How many running versions that are not defined have their edges remembered."""


class VersionConflict(DomainError):
    """Two definitions differ in build metadata only, or not at all."""

    code = "version-conflict"

    def __init__(self, present: Version, given: Version) -> None:
        super().__init__(f"{given} has the same precedence as {present}, which is defined: build metadata never counts")
        self.present = present
        self.given = given


class Restriction(NamedTuple):
    """A software that some endpoints are not admitted to yet."""

    number: int
    turned: int
    """By how much it turns the order of endpoints."""
    limit: int
    filters: frozenset[str]
    members: frozenset[int] = frozenset()

    def admits(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint is admitted."""
        ranked = rank(endpoint.cohort, self.turned) < self.limit
        return ranked or endpoint.key in self.members or not self.filters.isdisjoint(endpoint.filters)


@dataclass(eq=False, kw_only=True)
class Catalogue:
    """The software of one application; make it with `Catalogue.of`. Compared by identity."""

    software: tuple[Software, ...]
    """By ascending precedence; the position is the software's number."""
    index: Mapping[Version, int]
    """The number of each version."""
    freeze: Freeze | None = None
    """While there is one, nothing of it is open to anybody."""
    consent: bool = False
    """Whether an endpoint gets only what was consented to for it, where a rollout says nothing of it."""
    application: str = ""
    """Its name: it takes part in the order in which a rollout reaches endpoints."""
    limits: Limits = UNLIMITED
    """Of all its rollouts together."""
    _foreign: dict[Version, int] = field(default_factory=dict)

    @staticmethod
    def of(
        software: Iterable[Software],
        *,
        freeze: Freeze | None = None,
        consent: bool = False,
        application: str = "",
        limits: Limits = UNLIMITED,
    ) -> Catalogue:
        """Build a catalogue from definitions in any order.

        Raises:
            VersionConflict: two of them have the same precedence.
        """
        ordered = tuple(sorted(software, key=lambda item: item.version))
        for lower, upper in pairwise(ordered):
            if lower.version == upper.version:
                raise VersionConflict(lower.version, upper.version)
        index = {item.version: number for number, item in enumerate(ordered)}
        return Catalogue(
            software=ordered, index=index, freeze=freeze, consent=consent, application=application, limits=limits
        )

    def get(self, version: Version | None) -> Software | None:
        """Return the definition of a version, if there is one."""
        number = None if version is None else self.index.get(version)
        return None if number is None else self.software[number]

    def check_conflict(self, version: Version) -> None:
        """Pass when `version` may be defined here, or already is, written the same.

        Raises:
            VersionConflict: what is defined differs from it in build metadata only.
        """
        present = self.get(version)
        if present is not None and not present.version.identical(version):
            raise VersionConflict(present.version, version)

    def policy_of(self, version: Version) -> RolloutPolicy:
        """Return the knobs of a version's rollout; the defaults when it is not defined any more.

        Where the application limits who may be in progress, so does the rollout.
        """
        number = self.index.get(version)
        return DEFAULT_POLICY if number is None else self._policies[number]

    @cached_property
    def _policies(self) -> Sequence[RolloutPolicy]:
        most = self.limits.in_progress
        if most is None:
            return [item.policy for item in self.software]
        bounded = []
        for item in self.software:
            own = item.policy.limits
            limits = replace(own, in_progress=most if own.in_progress is None else min(most, own.in_progress))
            bounded.append(replace(item.policy, limits=limits))
        return bounded

    @cached_property
    def slotted(self) -> frozenset[Version]:
        """The software of which an offer gives its slot back when nobody was heard for a while."""
        return frozenset(
            item.version
            for item, policy in zip(self.software, self._policies, strict=True)
            if policy.limits.in_progress is not None
        )

    def edges_from(self, running: Version | None) -> tuple[Software, ...]:
        """Return the software that may be installed over `running`, ascending; None is an unknown version."""
        return self.among(self.successors(running))

    def among(self, numbers: int) -> tuple[Software, ...]:
        """Return the software of a set of numbers, ascending."""
        return tuple(self.software[number] for number in members(numbers))

    def successors(self, running: Version | None) -> int:
        """Return the numbers of the software that may be installed over `running`; remembered, within bounds."""
        if running is None:
            return self._over_unknown
        number = self.index.get(running)
        if number is not None:
            return self.onward[number]
        known = self._foreign.get(running)
        if known is None:
            if len(self._foreign) >= _FOREIGN:
                self._foreign.clear()
            known = self._foreign[running] = self._matching(running)
        return known

    def next_date_after(self, now: datetime) -> datetime | None:
        """Return the next instant after `now` at which something opens or closes; None when there is none."""
        position = bisect_right(self._dates, now)
        moments = [self._dates[position]] if position < len(self._dates) else []
        for window in self._windows:
            change = windows.next_change(window, now)
            moments += [] if change is None else [change]
        return min(moments, default=None)

    def opening_between(self, after: datetime, until: datetime) -> frozenset[Version]:
        """Return the software that opens or closes in (after, until]: what a tick of the clock may change."""
        return frozenset(item.version for item in self.software if _changes_between(item, after, until))

    def place(self, version: Version) -> int:
        """Return how many defined versions are lower: a defined one's own number."""
        return bisect_left(self._bounds, (version.key, 0))

    def ended(self, now: datetime) -> int:
        """Return the software whose rollout's end has come."""
        found = 0
        for end, number in self._ends:
            if end > now:
                break
            found |= 1 << number
        return found

    def next_end_after(self, now: datetime, among: int) -> datetime | None:
        """Return when the next rollout ends, of the software of a set of numbers; None when none does."""
        return next((end for end, number in self._ends if end > now and among >> number & 1), None)

    @cached_property
    def filters_in_use(self) -> frozenset[str]:
        """The filters that targeted software lists, and those that are stages."""
        staged = (item.filter_ids for item in self.software if item.policy.stages)
        return frozenset(self._listed).union(*staged)

    @cached_property
    def restrictions(self) -> Sequence[Restriction]:
        """The servable software that some endpoints are not admitted to yet, ascending."""
        found = []
        for number, item in enumerate(self.software):
            admission = item.admission
            if item.servable and not admission.everybody:
                turned = shift(self.application, item.version)
                found.append(Restriction(number, turned, admission.limit, admission.filters, admission.members))
        return found

    @cached_property
    def zoned(self) -> bool:
        """Whether some window is in the endpoints' own time zones."""
        return any(window.time_zone is None for window in self._windows)

    @cached_property
    def paced(self) -> bool:
        """Whether there are limits to how fast offers may be made."""
        return self.limits.paced or any(item.policy.limits.paced for item in self.software)

    @cached_property
    def particular(self) -> bool:
        """Whether more than what an endpoint runs tells the standing of one with nothing particular."""
        return bool(self.restrictions) or self.zoned

    @cached_property
    def consenting(self) -> int:
        """The software that an endpoint gets only where it was consented to."""
        return self._number_all(
            self.consent if item.policy.consent is None else item.policy.consent for item in self.software
        )

    @cached_property
    def _windows(self) -> Sequence[Window]:
        found = (item.policy.window for item in self.software if not item.stopped)
        return list({window for window in found if window is not None})

    @cached_property
    def onward(self) -> Sequence[int]:
        """Per number, the numbers of the software that may be installed over it."""
        onward = [0] * len(self.software)
        for number, sources in enumerate(self.sources):
            for source in members(sources):
                onward[source] |= 1 << number
        return onward

    @cached_property
    def sources(self) -> Sequence[int]:
        """Per number, the numbers of the defined versions that it may be installed over."""
        return [self._matched_by(item.upgradable_from) & ~(1 << number) for number, item in enumerate(self.software)]

    @cached_property
    def servable(self) -> int:
        """The software that is neither stopped nor without a specification."""
        return self._number_all(item.servable for item in self.software)

    @cached_property
    def general(self) -> int:
        """The servable software that is for every endpoint."""
        return self._number_all(item.servable and item.strategy is Strategy.GENERAL for item in self.software)

    def targeted(self, filters: frozenset[str]) -> int:
        """Return the servable software that at least one of `filters` opens."""
        found = 0
        for filter_id in filters:
            found |= self._listed.get(filter_id, 0)
        return found & self.servable

    @cached_property
    def _listed(self) -> Mapping[str, int]:
        listed: dict[str, int] = {}
        for number, item in enumerate(self.software):
            if item.strategy is Strategy.TARGETED:
                for use in item.filters:
                    listed[use.filter_id] = listed.get(use.filter_id, 0) | (1 << number)
        return listed

    @cached_property
    def _dates(self) -> Sequence[datetime]:
        return sorted({date for item in self.software for date in _dates_of(item)})

    @cached_property
    def _ends(self) -> Sequence[tuple[datetime, int]]:
        ends = ((item.policy.end, number) for number, item in enumerate(self.software))
        return sorted((end, number) for end, number in ends if end is not None)

    @cached_property
    def _bounds(self) -> Sequence[Bound]:
        return [(item.version.key, 0) for item in self.software]

    @cached_property
    def _releases(self) -> int:
        return self._number_all(item.version.key[3] == RELEASE for item in self.software)

    @cached_property
    def _over_unknown(self) -> int:
        return self._number_all(any(item.is_any for item in one.upgradable_from) for one in self.software)

    def _matching(self, running: Version) -> int:
        return self._number_all(any(item.matches(running) for item in one.upgradable_from) for one in self.software)

    def _matched_by(self, constraints: Iterable[Constraint]) -> int:
        """Return the defined versions that any constraint matches, by bisection instead of one by one."""
        found = 0
        for constraint in constraints:
            if constraint.span is None:
                return span(0, len(self.software))
            for interval in constraint.span.alternatives:
                found |= self._inside(interval)
        return found

    def _inside(self, interval: Interval) -> int:
        admitted = self._releases
        for patch in interval.patches:
            admitted |= self._between(((*patch, ()), 0), ((*patch, RELEASE), 0))
        return admitted & self._between(interval.low, interval.high)

    def _between(self, low: Bound, high: Bound | None) -> int:
        end = len(self._bounds) if high is None else bisect_left(self._bounds, high)
        return span(bisect_left(self._bounds, low), end)

    @staticmethod
    def _number_all(flags: Iterable[bool]) -> int:
        found = 0
        for number, flag in enumerate(flags):
            found |= flag << number
        return found


def _changes_between(item: Software, after: datetime, until: datetime) -> bool:
    if any(after < date <= until for date in _dates_of(item)):
        return True
    window = item.policy.window
    return window is not None and not item.stopped and windows.changing_between(window, after, until)


def _dates_of(item: Software) -> Iterable[datetime]:
    if item.stopped:
        return ()
    dates = [item.rollout_date, item.policy.end]
    if item.strategy is Strategy.TARGETED:
        dates.extend(use.rollout_date for use in item.filters)
    return [date for date in dates if date is not None]
