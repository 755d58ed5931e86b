"""The numbers of an application, counted anew from the rows of its endpoints and of their earlier attempts.

Of attempts that housekeeping has removed, the sums are left.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from orchestrator.application.counters import CounterKey
from orchestrator.domain.attempts import AttemptState
from orchestrator.persistence import remnants, schema
from orchestrator.persistence.rows import ATTEMPT_STATES
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.versions import Version
    from orchestrator.persistence.storage import SqlStorage

OPEN = {AttemptState.OFFERED, AttemptState.INSTALLING}
FAILED = {AttemptState.FAILED, AttemptState.REVERTED, AttemptState.EXPIRED}
RUNS = {AttemptState.SOAKING, AttemptState.CONFIRMED}
TRIED = {AttemptState.SOAKING, AttemptState.CONFIRMED, AttemptState.REVERTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attempt that was ever made."""

    key: int
    version: Version
    origin: Version | None
    state: AttemptState
    stage: int | None
    reached: bool
    unhealthy: bool
    runs: bool = False
    """Of the latest one: whether the endpoint runs its version, by what it reported last."""
    lapsed: bool = False
    reason: str | None
    latest: bool
    """Whether the endpoint has had none since."""

    @property
    def grade(self) -> str:
        """As the label of a counter."""
        marks = ["unreached"] if self.state is AttemptState.OFFERED and not self.reached else []
        marks += ["unhealthy"] if self.state in TRIED and self.unhealthy else []
        return " ".join([str(self.stage), self.state.value, *marks])

    @property
    def holds_slot(self) -> bool:
        """Whether it is in progress."""
        return self.latest and self.state in OPEN and (self.reached or not self.lapsed)


async def trials(storage: SqlStorage, application: int) -> Sequence[Trial]:
    """All attempts of an application."""
    state, attempt = schema.endpoint_state, schema.attempt
    first, end = application * KEY_SPAN, (application + 1) * KEY_SPAN
    async with storage.reading() as connection:
        latest = (await connection.execute(select(state).where(state.c.id.between(first, end)))).all()
        older = (await connection.execute(select(attempt).where(attempt.c.endpoint_id.between(first, end)))).all()
    version = storage._dictionary.versions
    return [
        *(
            Trial(
                key=row.id,
                version=version[row.attempt_version_id],
                origin=storage._dictionary.version(row.attempt_origin_id),
                state=ATTEMPT_STATES[row.attempt_state],
                stage=row.stage - 1 if row.stage else None,
                reached=row.reached_ms is not None,
                unhealthy=row.healthy == 0,
                runs=storage._dictionary.version(row.running_id) == version[row.attempt_version_id],
                lapsed=bool(row.lapsed),
                reason=row.reason,
                latest=True,
            )
            for row in latest
            if row.attempt_version_id
        ),
        *(
            Trial(
                key=row.endpoint_id,
                version=version[row.version_id],
                origin=storage._dictionary.version(row.origin_id),
                state=ATTEMPT_STATES[row.state],
                stage=row.stage - 1 if row.stage else None,
                reached=row.reached_ms is not None,
                unhealthy=row.healthy == 0,
                reason=row.reason,
                latest=False,
            )
            for row in older
        ),
    ]


async def removed(storage: SqlStorage, application: int) -> Counter[CounterKey]:
    """What attempts that housekeeping has removed had counted for."""
    table, version = remnants.attempt_sum, storage._dictionary.version
    async with storage.reading() as connection:
        rows = (await connection.execute(select(table).where(table.c.application_id == application))).all()
    total: Counter[CounterKey] = Counter()
    for row in rows:
        trial = Trial(
            key=0,
            version=storage._dictionary.versions[row.version_id],
            origin=version(row.origin_id),
            state=ATTEMPT_STATES[row.state],
            stage=row.stage - 1 if row.stage else None,
            reached=bool(row.reached),
            unhealthy=bool(row.unhealthy),
            reason=None,
            latest=False,
        )
        for key in _of(application, trial):
            total[key] += row.amount
    return total


async def recount(storage: SqlStorage, application: int) -> Counter[CounterKey]:
    """All numbers of an application, with what housekeeping has removed."""
    first, end = application * KEY_SPAN, (application + 1) * KEY_SPAN
    running = schema.endpoint_state.c.running_id
    kept = select(running).where(schema.endpoint_state.c.id.between(first, end))
    async with storage.reading() as connection:
        rows = (await connection.execute(kept)).scalars().all()
    total = Counter(CounterKey(application, "running", storage._dictionary.version(number)) for number in rows)
    for trial in await trials(storage, application):
        total.update(_of(application, trial))
    return total + await removed(storage, application)


def _of(application: int, trial: Trial) -> list[CounterKey]:
    version, label = trial.version, trial.state.value
    found = [CounterKey(application, "attempts", version, trial.origin, label)]
    if trial.stage is not None:
        found.append(CounterKey(application, "stages", version, None, trial.grade))
    if trial.latest:
        found.append(CounterKey(application, "latest", version, None, label))
        if trial.state in FAILED:
            found.append(CounterKey(application, "failures", version, None, (trial.reason or label)[:120]))
        if trial.state in RUNS and trial.runs and trial.unhealthy and trial.reason:
            found.append(CounterKey(application, "unwell", version, None, trial.reason[:120]))
        if trial.holds_slot:
            found.append(CounterKey(application, "slots", version, trial.origin))
    return found
