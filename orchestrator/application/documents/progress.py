"""The document of a rollout's progress: its state, its stages with their numbers, and why it waits.

Rules:
- Stages are numbered from 0 in members and from 1 in sentences.
- What is suspended or recalled is called so, whatever its rollout would do.
- Of what is over, no stage says what it waits for; where nobody judges, none fails.
- A rollout whose end has come is finished, but its stages have not passed by that.
- The summary of a rollout that runs ends with what holds its offers, as far as that is the same for all endpoints.

Spec: docs/reference/rest-api.md, "Rollouts".
Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from orchestrator.application import rulings as judging
from orchestrator.application.documents import fleets, instants
from orchestrator.application.documents.bodies import REASON_CHARACTERS, Body
from orchestrator.application.rollouts import served
from orchestrator.domain import windows
from orchestrator.domain.gates import Size, Tally, Verdict
from orchestrator.domain.rollouts import Phase
from orchestrator.domain.software import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from orchestrator.application.documents.texts import Document
    from orchestrator.application.rollouts import Moved, View
    from orchestrator.domain.gates import Ruling
    from orchestrator.domain.policies import Window

RECALLED, SUSPENDED = "recalled", "suspended"
STATES = (*(phase.value for phase in Phase), SUSPENDED, RECALLED)
_OVER = frozenset({Phase.ABORTED.value, SUSPENDED, RECALLED})
_GOING_ON = frozenset({Phase.RUNNING, Phase.WAITING_APPROVAL})
_NOTHING, _NOBODY = Tally(), Size(endpoints=0, waiting=0)


class ApprovalBody(Body):
    """Which stage of a rollout is approved, and why."""

    stage: Annotated[int | None, Field(ge=0)] = None
    """From 0; null: the present one."""
    reason: Annotated[str | None, Field(max_length=REASON_CHARACTERS)] = None


def state(view: View, now: datetime) -> str:
    """What a rollout is called."""
    item = view.record.software
    phase = item.rollout.phase
    if item.recalled:
        return RECALLED
    if phase is Phase.ABORTED:
        return str(phase.value)
    if item.strategy is Strategy.SUSPENDED:
        return SUSPENDED
    if (phase in _GOING_ON and item.over(now)) or (phase is Phase.RUNNING and _done(view)):
        return str(Phase.FINISHED.value)
    return str(phase.value)


def build(view: View, now: datetime) -> Document:
    """The document of a rollout."""
    record = view.record
    rollout, staging = record.software.rollout, record.software.policy.staging
    rulings = judging.rule(record, view.tallies, view.sizes)
    called = state(view, now)
    return {
        "version": record.software.version.text,
        "state": called,
        "stage": min(rollout.stage, len(staging) - 1),
        "since": instants.build(record.status.since or record.created_at),
        "by": record.status.by,
        "reason": record.status.reason,
        "summary": "; ".join((*_summary(view, called, rulings[-1], now), *_holds(view, called, now))),
        "stages": [
            _Part(
                view=view,
                number=number,
                called=called,
                over=called in _OVER or record.software.over(now),
                ruling=rulings[number] if number < len(rulings) else None,
            ).build()
            for number in range(len(staging))
        ],
        "failures": [*_reasons(view.failures), *_reasons(view.unwell, unhealthy=True)],
    }


def _reasons(counted: Mapping[str, int], **marks: bool) -> list[Document]:
    """What endpoints have said, the most frequent first."""
    reasons = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    if rest := reasons[fleets.MOST_REASONS :]:
        reasons = [*reasons[: fleets.MOST_REASONS], (fleets.OTHER, sum(amount for _, amount in rest))]
    return [{"reason": reason, "endpoints": amount, **marks} for reason, amount in reasons]


def build_moved(view: View, now: datetime, moved: Moved) -> Document:
    """The document of a rollout that an operator has moved."""
    return {**build(view, now), "withdrawn": moved.withdrawn}


def _done(view: View, *, over: bool = False) -> bool:
    """Whether it is an unjudged rollout that has come to its end; when it is over nobody waits for an offer."""
    item = view.record.software
    size = view.sizes.get(min(item.rollout.stage, len(item.policy.staging) - 1))
    return served(item, view.tallies, _NOBODY if size is None and over else size)


def _under_way(view: View) -> int:
    return sum(tally.offered + tally.installing + tally.soaking for tally in view.tallies.values())


def _summary(view: View, called: str, present: Ruling, now: datetime) -> Iterator[str]:
    item = view.record.software
    ended = called not in _OVER and item.over(now)
    if ended:
        yield _ended(view)
    if not ended or called == Phase.PAUSED.value:
        yield _standing(view, called, present)


def _ended(view: View) -> str:
    """When it has ended, and how far it came."""
    item = view.record.software
    confirmed = sum(tally.confirmed for tally in view.tallies.values())
    sizes = [view.sizes.get(number) for number in range(min(item.rollout.stage + 1, len(item.policy.staging)))]
    known = [size.endpoints for size in sizes if size is not None]
    whole = f" of {sum(known)}" if len(known) == len(sizes) else ""
    under_way = _under_way(view)
    left = f", {under_way} under way" if under_way else ""
    return f"ended at {instants.build_optional(item.policy.end)}: {confirmed}{whole} confirmed{left}"


def _standing(view: View, called: str, present: Ruling) -> str:
    item, status = view.record.software, view.record.status
    stage = f"stage {min(item.rollout.stage, len(item.policy.staging) - 1) + 1}: "
    if called in {RECALLED, SUSPENDED}:
        return f"the software is {called}"
    if called in {Phase.PAUSED.value, Phase.ABORTED.value}:
        return called if status.reason is None else f"{called}: {status.reason}"
    if not item.policy.judged:
        return f"{stage}not judged: neither stages nor onFailure are given"
    if called == Phase.WAITING_APPROVAL.value:
        return f"{stage}{present.reason}; waits for approval"
    return f"{stage}{present.reason}"


def _holds(view: View, called: str, now: datetime) -> Iterator[str]:
    """Why those who wait for an offer are not offered it now: the first cause that there is."""
    item = view.record.software
    size = view.sizes.get(min(item.rollout.stage, len(item.policy.staging) - 1))
    if called != Phase.RUNNING.value or (size is not None and not size.waiting):
        return
    if view.freeze is not None:
        yield "all applications are frozen" if view.freeze.everywhere else "the application is frozen"
        return
    if item.rollout_date is not None and item.rollout_date > now:
        yield f"it starts at {instants.build(item.rollout_date)}"
        return
    closed = _closed(item.policy.window, now)
    if closed is not None:
        yield closed
    elif view.consent:
        yield "consent is required: who was not consented to waits for that"


def _closed(window: Window | None, now: datetime) -> str | None:
    """Until when the window is closed; None: it is open, or a matter of each endpoint's own zone."""
    if window is None or window.time_zone is None:
        return None
    opening = windows.state(window, now, None)
    if opening.open:
        return None
    return "its window is closed " + ("for good" if opening.until is None else f"until {instants.build(opening.until)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One stage of a rollout that is called so."""

    view: View
    number: int
    called: str
    over: bool
    """Whether it is offered to nobody any more."""
    ruling: Ruling | None
    """None: it was not entered yet."""

    def build(self) -> Document:
        """The document of the stage."""
        stage = self.view.record.software.policy.staging[self.number]
        return {
            "percent": stage.percent,
            **({} if stage.count is None else {"count": stage.count}),
            **({} if stage.filter_id is None else {"filter": stage.filter_id}),
            "state": self._state,
            **self._numbers,
            **self._verdict,
            "maxFailureRate": stage.max_failure_rate,
            "approval": "manual" if stage.approval else "automatic",
            "reason": self._reason,
        }

    @property
    def _state(self) -> str:
        rollout = self.view.record.software.rollout
        if self._fails:
            return "failed"
        if self.number > rollout.stage:
            return "waiting"
        return "passed" if self.number < rollout.stage or self._passed else "running"

    @property
    def _passed(self) -> bool:
        """Whether the present stage has passed: a rollout that is stopped then does not undo that."""
        record = self.view.record
        phase = record.software.rollout.phase
        if phase in {Phase.PAUSED, Phase.ABORTED}:
            return record.status.mark(self.number).passed_at is not None
        if phase is Phase.RUNNING:
            return self.called == Phase.FINISHED.value and _done(self.view, over=self.over)
        return True

    @property
    def _fails(self) -> bool:
        judged = self.view.record.software.policy.judged
        return judged and self.ruling is not None and self.ruling.verdict is Verdict.FAILS

    @property
    def _numbers(self) -> Document:
        tally, size = self.view.tallies.get(self.number, _NOTHING), self.view.sizes.get(self.number)
        return {
            "endpoints": None if size is None else size.endpoints,
            "offered": tally.offered,
            "installing": tally.installing,
            "soaking": tally.soaking,
            "confirmed": tally.confirmed,
            "failed": tally.failed,
            "reverted": tally.reverted,
            "expired": tally.expired,
            "withdrawn": tally.withdrawn,
            "unhealthy": tally.unhealthy,
            "waiting": None if size is None or self.over else size.waiting,
            "offline": tally.unreached,
        }

    @property
    def _verdict(self) -> Document:
        ruling = self.ruling
        if ruling is None:
            return {"settled": 0, "needed": None, "failureRate": None, "bounds": None}
        return {
            "settled": ruling.settled,
            "needed": ruling.needed,
            "failureRate": _rounded(ruling.rate),
            "bounds": None if ruling.bounds is None else [_rounded(bound) for bound in ruling.bounds],
        }

    @property
    def _reason(self) -> str | None:
        if self.ruling is None or not self.view.record.software.policy.judged:
            return None
        return None if self.over and self.ruling.verdict is Verdict.WAITS else self.ruling.reason


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 6)
