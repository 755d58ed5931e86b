"""Rollouts: what operators do with them, and what the gates make of them.

Rules:
- A move is one transaction: the numbers are read in it, so that a stage begins once however often it is asked for, and
  a failure that has been counted by then comes before an advance.
- A stop (pause, abort, revert) is committed first; from then on no read shows an unstarted offer and none leaves
  (invariant 7). Started installs go on.
- A resume acknowledges the failures that it finds: they stop the rollout no more.

Spec: docs/reference/rest-api.md, "Rollouts".
Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import structlog

from orchestrator.application import gradings
from orchestrator.application.audits import Action
from orchestrator.application.authors import OTAO
from orchestrator.application.documents import audits as documents
from orchestrator.application.documents import fleets
from orchestrator.application.problems import (
    NotFoundError,
    SoftwareRecalledError,
    SoftwareSuspendedError,
    StageNotBegunError,
)
from orchestrator.application.records import REQUIRED
from orchestrator.domain import rollouts
from orchestrator.domain.gates import Size, Tally
from orchestrator.domain.policies import OnFailure
from orchestrator.domain.rollouts import Phase
from orchestrator.domain.software import Strategy

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from orchestrator.application.authors import Author
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.records import RolloutStatus, SoftwareRecord, StageMark
    from orchestrator.application.revisions import Revision, Revisions
    from orchestrator.application.sizes import Sizes
    from orchestrator.domain.freezes import Freeze
    from orchestrator.domain.rollouts import Rollout
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

    Tallies: TypeAlias = Mapping[int, Tally]
    """By stage."""
    Step: TypeAlias = Callable[[SoftwareRecord, Tallies], "Move | None"]
    """What becomes of a rollout, by what it is and its numbers; None: nothing."""

log = structlog.get_logger(__name__)

_NOTHING, _NOBODY = Tally(), Size(endpoints=0, waiting=0)
_PASSED = frozenset({Phase.WAITING_APPROVAL, Phase.FINISHED})
"""In these the present stage has passed."""

COUNTED = ("stages",)
"""The stored numbers that gates look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What becomes of a rollout."""

    action: Action
    rollout: Rollout
    reason: str | None = None
    marks: Mapping[int, StageMark] = field(default_factory=dict)
    """Stages of which something is kept now."""
    recall: bool = False
    """Whether its software is recalled, too."""
    passed: bool = False
    """Whether it stops one that was finished, though no gate has said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What has become of a rollout."""

    record: SoftwareRecord
    withdrawn: int = 0
    """Offers that end by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A rollout with its numbers."""

    record: SoftwareRecord
    tallies: Tallies
    sizes: Mapping[int, Size]
    """Of the stages that were measured."""
    failures: Mapping[str, int]
    """Endpoints whose latest attempt failed, by reason."""
    unwell: Mapping[str, int]
    """Endpoints that came to the version and have said last that they are not well, by reason."""
    totals: Mapping[str, int]
    """Attempts that were ever made, by state."""
    consent: bool = False
    """Whether endpoints get it only where it was consented to."""
    freeze: Freeze | None = None
    """What holds every offer of its application."""


class Rollouts:
    """The rollouts of all applications."""

    def __init__(self, storage: EditingStorage, revisions: Revisions, sizes: Sizes) -> None:
        """Take what the use cases need."""
        self._storage = storage
        self._revisions = revisions
        self._sizes = sizes

    async def get(self, application: str, version: Version) -> View:
        """One rollout with its numbers.

        Raises:
            NotFoundError: there is no such software.
        """
        entry = self._revisions.entry(application)
        record = _existing(entry.software, version)
        numbers = await self._storage.counters(entry.application.key)
        if record.software.servable:
            await self._sizes.look(entry, record.software, numbers)
        return view(entry, record, numbers, self._sizes.of(entry.application.key, record.software.version))

    async def judged(self, application: str) -> list[View]:
        """Every rollout that gates judge, over or not, with its numbers, highest version first; one read.

        Raises:
            NotFoundError: there is no such application.
        """
        entry = self._revisions.entry(application)
        key = entry.application.key
        records = [record for record in entry.software.values() if record.software.policy.judged]
        if not records:
            return []
        numbers = await self._storage.counters(key)
        records.sort(key=lambda record: record.software.version, reverse=True)
        return [view(entry, record, numbers, self._sizes.of(key, record.software.version)) for record in records]

    async def pause(self, application: str, version: Version, *, by: Author) -> Moved:
        """Withdraw its unstarted offers and make no new ones until it is resumed; running installs end.

        Raises:
            NotFoundError: there is no such software.
            SoftwareRecalledError: it is recalled.
            SoftwareSuspendedError: it is suspended.
            IllegalRolloutMove: it is aborted.
        """

        def step(record: SoftwareRecord, tallies: Tallies) -> Move:
            _check_offered(record)
            paused = rollouts.move(record.software.rollout, Phase.PAUSED)
            passed = served(record.software, tallies, self._size(application, record))
            return Move(action=Action.ROLLOUT_PAUSE, rollout=paused, reason=by.reason, passed=passed)

        await self._measure(application, version)
        return await self.move(application, version, step, by=by, stops=True)

    async def resume(self, application: str, version: Version, *, by: Author) -> Moved:
        """Go on where it was paused, with the failures seen so far acknowledged.

        Raises:
            NotFoundError: there is no such software.
            SoftwareRecalledError: it is recalled.
            SoftwareSuspendedError: it is suspended.
            IllegalRolloutMove: it is aborted, or neither paused nor running.
        """

        def step(record: SoftwareRecord, tallies: Tallies) -> Move | None:
            _check_offered(record)
            present = record.software.rollout
            resumed = rollouts.resume(present)
            if resumed is present:
                return None
            marks = {stage: _acknowledged(record, stage, tally) for stage, tally in tallies.items()}
            return Move(action=Action.ROLLOUT_RESUME, rollout=resumed, reason=by.reason, marks=marks)

        return await self.move(application, version, step, by=by, stops=False)

    async def abort(self, application: str, version: Version, *, by: Author) -> Moved:
        """Withdraw its unstarted offers, and make no new ones any more; running installs end.

        Raises:
            NotFoundError: there is no such software.
            SoftwareRecalledError: it is recalled.
        """

        def step(record: SoftwareRecord, tallies: Tallies) -> Move:
            aborted = rollouts.move(record.software.rollout, Phase.ABORTED)
            passed = served(record.software, tallies, self._size(application, record))
            return Move(action=Action.ROLLOUT_ABORT, rollout=aborted, reason=by.reason, passed=passed)

        await self._measure(application, version)
        return await self.move(application, version, step, by=by, stops=True)

    async def approve(self, application: str, version: Version, *, stage: int | None = None, by: Author) -> Moved:
        """Leave a stage, whatever the gate says of it; one that was left stays so, and a finished rollout, too.

        Without a `stage` it is the present one: said twice, it leaves the next one as well.

        Raises:
            NotFoundError: there is no such software.
            StageNotBegunError: the stage comes later than the present one.
            SoftwareRecalledError: it is recalled.
            SoftwareSuspendedError: it is suspended.
            IllegalRolloutMove: it is paused, or aborted.
        """

        def step(record: SoftwareRecord, tallies: Tallies) -> Move | None:
            _check_offered(record)
            present = record.software.rollout
            if stage is not None and stage > present.stage:
                raise StageNotBegunError(stage, present.stage)
            if present.phase is Phase.FINISHED or (stage is not None and stage < present.stage):
                return None
            return leave(record, Action.ROLLOUT_APPROVE, by.reason, self._size(application, record), tallies)

        return await self.move(application, version, step, by=by, stops=False)

    async def move(self, application: str, version: Version, step: Step, *, by: Author = OTAO, stops: bool) -> Moved:
        """Do what `step` says, by the numbers as they are when the transaction has its turn.

        Raises:
            NotFoundError: there is no such software.
            SoftwareRecalledError: it is recalled.
            IllegalRolloutMove: `step` raises it.
        """
        async with self._revisions.open(application, stops=stops, by=by) as revision:
            record = _existing(revision.before.software, version)
            if record.software.recalled:
                raise SoftwareRecalledError(version)
            tallies = gradings.tallies(await revision.edit.numbers([revision.key], COUNTED), record.software.version)
            found = step(record, tallies)
            if found is None or (found.rollout == record.software.rollout and not found.marks):
                return Moved(record=record)
            moved = _moved(record, found, by, revision)
            revision.author = by.because(found.reason)
            await revision.edit.put_software(revision.key, moved)
            before, after = documents.of_rollout(record), documents.of_rollout(moved)
            await revision.audit(found.action, f"software/{record.software.version}/rollout", before, after)
            log.info(found.action.value, application=application, version=version.text, reason=found.reason)
            withdrawn = await self._withdrawn(revision, moved) if stops else 0
        return Moved(record=moved, withdrawn=withdrawn)

    async def _measure(self, application: str, version: Version) -> None:
        """Have the size of an unjudged rollout known if that decides whether it has come to its end.

        No gate measures such a rollout: that nobody has looked at it makes it none that goes on.

        Raises:
            NotFoundError: there is no such software.
        """
        entry = self._revisions.entry(application)
        item = _existing(entry.software, version).software
        if item.policy.judged or not item.servable:
            return
        numbers = await self._storage.counters(entry.application.key)
        if served(item, gradings.tallies(numbers, item.version), _NOBODY):
            await self._sizes.look(entry, item, numbers)

    async def _withdrawn(self, revision: Revision, record: SoftwareRecord) -> int:
        item = record.software
        return fleets.ending(await self._storage.counters(revision.key), revision.before, item.version, item)

    def _size(self, application: str, record: SoftwareRecord) -> Size | None:
        key = self._revisions.entry(application).application.key
        return self._sizes.of(key, record.software.version).get(record.software.rollout.stage)


def view(entry: Entry, record: SoftwareRecord, numbers: Counter[CounterKey], sizes: Mapping[int, Size]) -> View:
    """A rollout with its part of an application's numbers."""
    version, consent = record.software.version, record.software.policy.consent
    known = {
        number: Size(endpoints=mark.endpoints, waiting=0)
        for number, mark in enumerate(record.status.marks)
        if mark.endpoints is not None
    }
    counted: dict[str, dict[str, int]] = {"failures": {}, "unwell": {}, "attempts": {}}
    for key, amount in numbers.items():
        if key.version == version and amount > 0 and key.name in counted:
            labelled = counted[key.name]
            labelled[key.label] = labelled.get(key.label, 0) + amount
    return View(
        record=record,
        tallies={
            stage: _visible(record.software, tally) for stage, tally in gradings.tallies(numbers, version).items()
        },
        sizes={**known, **sizes},
        failures=counted["failures"],
        unwell=counted["unwell"],
        totals=counted["attempts"],
        consent=entry.application.consent == REQUIRED if consent is None else consent,
        freeze=entry.catalogue.freeze,
    )


def _visible(item: Software, tally: Tally) -> Tally:
    """The numbers as every other read shows offers: what a stop hides is withdrawn, before its sweep came to it."""
    if not item.visible(started=False):
        tally = replace(tally, offered=0, unreached=0, withdrawn=tally.withdrawn + tally.offered)
    if not item.visible(started=True):
        tally = replace(tally, installing=0, withdrawn=tally.withdrawn + tally.installing)
    return tally


def served(item: Software, tallies: Tallies, size: Size | None) -> bool:
    """Whether it is an unjudged rollout of which nothing is under way, and nobody waits for an offer in this stage.

    Whoever was asked for consent may never answer, and is not waited for. Of a stage that was not measured nobody
    knows.
    """
    under_way = any(tally.offered + tally.installing + tally.soaking for tally in tallies.values())
    if item.policy.judged or under_way or size is None or size.waiting > size.asked:
        return False
    return any(tally.settled for tally in tallies.values())


def leave(record: SoftwareRecord, action: Action, reason: str | None, size: Size | None, tallies: Tallies) -> Move:
    """The move out of the present stage: into the next one, or to the end, with the failures that there are by then.

    Raises:
        IllegalRolloutMove: the rollout is paused, or aborted.
    """
    item = record.software
    stage = item.rollout.stage
    mark = record.status.mark(stage)
    left = replace(mark, endpoints=mark.endpoints if size is None else size.endpoints)
    moved = rollouts.advance(item.rollout, len(item.policy.staging))
    marks = {stage: left}
    if moved.phase is Phase.FINISHED:
        counted = {number: marks.get(number, record.status.mark(number)) for number in {*marks, *tallies}}
        marks = {number: _counted(mark, tallies.get(number, _NOTHING)) for number, mark in counted.items()}
    return Move(action=action, rollout=moved, reason=reason, marks=marks)


def stopped(record: SoftwareRecord, reason: str) -> Move:
    """The move of a rollout that has failed, as its policy wants it.

    Raises:
        IllegalRolloutMove: it is aborted already.
    """
    wanted = record.software.policy.on_failure or OnFailure.PAUSE
    if wanted is OnFailure.PAUSE:
        paused = rollouts.move(record.software.rollout, Phase.PAUSED)
        return Move(action=Action.ROLLOUT_PAUSE, rollout=paused, reason=reason)
    aborted = rollouts.move(record.software.rollout, Phase.ABORTED)
    revert = wanted is OnFailure.REVERT
    action = Action.ROLLOUT_REVERT if revert else Action.ROLLOUT_ABORT
    return Move(action=action, rollout=aborted, reason=reason, recall=revert)


def _counted(mark: StageMark, tally: Tally) -> StageMark:
    return replace(mark, failures=tally.failures, reverted=tally.reverted)


def _check_offered(record: SoftwareRecord) -> None:
    """Pass when there is something to be held or let go on."""
    if record.software.strategy is Strategy.SUSPENDED:
        raise SoftwareSuspendedError(record.software.version)


def _acknowledged(record: SoftwareRecord, stage: int, tally: Tally) -> StageMark:
    mark = record.status.mark(stage)
    return replace(mark, acknowledged=tally.failures, acknowledged_unhealthy=tally.unhealthy)


def _moved(record: SoftwareRecord, found: Move, by: Author, revision: Revision) -> SoftwareRecord:
    status = record.status
    for stage, mark in found.marks.items():
        passed = found.rollout.stage > stage or found.rollout.phase is Phase.FINISHED
        kept = replace(mark, passed_at=revision.now) if passed and mark.passed_at is None else mark
        status = status.marked(stage, kept)
    was, becomes = record.software.rollout, found.rollout
    status = _marked(status, found, was.phase, revision)
    if (was.phase, was.stage) != (becomes.phase, becomes.stage):
        # Whom a stage admits may change; since when it is the present one, and by whom, does not.
        status = replace(status, since=revision.now, by=by.name, reason=found.reason)
    recalled_at = revision.now if found.recall else record.software.recalled_at
    software = replace(record.software, rollout=becomes, recalled_at=recalled_at)
    return replace(record, software=software, status=status)


def _marked(status: RolloutStatus, found: Move, was: Phase, revision: Revision) -> RolloutStatus:
    """The status with it noted whether the present stage has passed, which a stop leaves as it is."""
    becomes = found.rollout
    mark = status.mark(becomes.stage)
    if becomes.phase is Phase.RUNNING and mark.passed_at is not None:
        return status.marked(becomes.stage, replace(mark, passed_at=None))
    # The phase before tells it of those that came to it before that was noted.
    passes = found.passed or not _PASSED.isdisjoint({was, becomes.phase})
    if passes and mark.passed_at is None:
        return status.marked(becomes.stage, replace(mark, passed_at=revision.now))
    return status


def _existing(software: Mapping[Version, SoftwareRecord], version: Version) -> SoftwareRecord:
    record = software.get(version)
    if record is None or not record.software.version.identical(version):
        raise NotFoundError("software", version.text)
    return record
