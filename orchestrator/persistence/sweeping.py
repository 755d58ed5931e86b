"""A page of a sweep: endpoints read by class, and each page's verdicts written by one statement per table.

Rules:
- "Plain" endpoints are those whose class says all: no setback, consent, pin or timer, token active, pushes wanted, and
  a latest attempt that is neither started nor failed. All others are handed out one by one.
- Rows are numbered by key, so that the statements of one page agree on every identifier; those of keys that the page
  does not move are given to nobody.

Layer: persistence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.application.classes import EndpointClass, Page
from orchestrator.persistence import dialects, elements, movements, scans
from orchestrator.persistence.instants import to_ms
from orchestrator.persistence.movements import Outcome
from orchestrator.persistence.rows import ATTEMPT_STATES, WAS_ASKED, stage_code, stage_of
from orchestrator.persistence.schema import KEY_SPAN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.classes import ClassVerdict, Work
    from orchestrator.persistence.dictionaries import Dictionary
    from orchestrator.persistence.drivers import Statement
    from orchestrator.persistence.numbers import Numbers
    from orchestrator.persistence.scans import Scan


class Sweep:
    """Runs the statements of a scan, for one page."""

    def __init__(self, connection: AsyncConnection, work: Work, scan: Scan, dictionary: Dictionary) -> None:
        """Work on a connection whose transaction has begun."""
        self._connection = connection
        self._work = work
        self._scan = scan
        self._dictionary = dictionary
        self._first = work.application * KEY_SPAN
        self._after = max(work.cursor, self._first)

    async def end(self, limit: int) -> int | None:
        """Key of the last endpoint of the next page; None when there is none."""
        upto = self._first + KEY_SPAN
        found = await dialects.fetch(self._connection, scans.END, after=self._after, upto=upto, most=limit)
        end: int | None = found[0][0]
        return end

    async def read(self, end: int) -> tuple[dict[EndpointClass, int], list[int]]:
        """The classes of a page with their sizes, and the keys of its particular endpoints."""
        span = {"after": self._after, "upto": end}
        rows = await dialects.fetch(self._connection, self._scan.classes, **span)
        keys = await dialects.fetch(self._connection, self._scan.particular, **span)
        rows.sort(key=lambda row: row[-1])
        return {self._class(row): row[-2] for row in rows}, [key for (key,) in keys]

    def _class(self, row: Sequence[Any]) -> EndpointClass:
        *numbers, one, _size, _first = row
        cohort, key = divmod(one, KEY_SPAN)
        running_id, attempt_id, origin_id, state, stage, reached, healthy, lapsed, asked_id, *marks = numbers
        bits, holds = marks[: len(self._scan.filters)], marks[len(self._scan.filters) :]
        zone = holds.pop() if self._scan.zoned else None
        return EndpointClass(
            running=self._dictionary.version(running_id),
            attempt=self._dictionary.version(attempt_id),
            origin=self._dictionary.version(origin_id),
            state=ATTEMPT_STATES[state],
            filters=frozenset(name for name, bit in zip(self._scan.filters, bits, strict=True) if bit),
            stage=stage_of(stage),
            reached=bool(reached),
            healthy=None if healthy == scans.UNKNOWN else bool(healthy),
            lapsed=bool(lapsed),
            asked=self._dictionary.version(asked_id) if asked_id > 0 else None,
            held=sum(bit << place for place, bit in enumerate(holds)),
            zone=zone or None,
            cohort=cohort,
            key=self._first + key,
            numbers=tuple(numbers),
        )

    def writing(
        self, page: Page, end: int, verdicts: Sequence[ClassVerdict], numbers: Numbers, at: datetime
    ) -> list[Statement]:
        """How the verdicts are written: history, superseded attempts, pushes, and last the hot rows."""
        width = end - self._after
        rationed = any(item.most < page.classes[item.of] for item in verdicts)
        outcomes = {outcome: number for number, outcome in enumerate(dict.fromkeys(map(self._outcome, verdicts)))}
        rows = [self._verdict(number, item, outcomes) for number, item in enumerate(verdicts)]
        given = {
            "after": self._after,
            "upto": end,
            "verdicts": elements.listing(rows),
            "history": numbers.take("history", movements.ENTRIES * width),
            "attempt": numbers.take("attempt", width),
            "revision": numbers.take("revision", width),
            "at": to_ms(at),
        }
        moving = self._scan.rationed if rationed else self._scan.moving
        statements = [
            (statement, given)
            for statement in (scans.EMPTIED, moving, *movements.statements(verdicts, rationed=rationed))
        ]
        statements += [
            (movements.OFFERED_STATE, {**given, **outcome._asdict(), "outcome": number})
            for outcome, number in outcomes.items()
            if outcome.hop
        ]
        return [dialects.filled(self._connection, *statement) for statement in statements]

    def _outcome(self, item: ClassVerdict) -> Outcome:
        named = self._dictionary.number
        asks, asked_id = named(self._work.application, item.asks), item.of.numbers[scans.WIDTH - 1]
        return Outcome(
            hop=named(self._work.application, item.hop),
            given_stage=stage_code(item.stage),
            # Once asked, its topic is kept up to date.
            ask=asks or (WAS_ASKED if asked_id else 0),
            due=None if item.hop is None or item.due_at is None else to_ms(item.due_at),
        )

    def _verdict(self, number: int, item: ClassVerdict, outcomes: Mapping[Outcome, int]) -> tuple[Any, ...]:
        outcome = self._outcome(item)
        given = scans.Given(
            number=number,
            outcome=outcomes[outcome],
            why=item.reason,
            most=item.most,
            opened=int(item.withdraws),
            **outcome._asdict(),
        )
        return (*item.of.numbers, *given)
