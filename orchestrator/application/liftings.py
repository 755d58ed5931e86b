"""A stop that is lifted before it was drawn to its end: what it has hidden, and left standing, is shown again.

Rules:
- While software is stopped, whatever is published for an endpoint shows nothing of it (invariant 7). A sweep withdraws
  the offers and asks; those that it has not come to when the stop is lifted are decided as they were, so that no push
  follows from the decision, and have to be shown again (invariant 1).
- Without a sweep under way everything was withdrawn, and nothing is left to be shown. Nor is there of software that
  nobody holds an offer of: what is defined for the first time while a sweep is under way was hidden from nobody. Who
  is asked for consent is not counted; so who may be asked is told again.
- It is shown again before anybody is decided anew: whoever the sweep had come to is told by the decision alone, once.

Layer: application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.classes import Renewal
from orchestrator.domain import rules
from orchestrator.domain.attempts import AttemptState

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.editing import Edit, EditingStorage
    from orchestrator.domain.versions import Version


async def follow(
    edit: Edit, storage: EditingStorage, before: Entry, after: Entry, running: AbstractSet[Version | None], at: datetime
) -> set[Version | None]:
    """Have shown again what a stop has hidden that is lifted by the edit, which turns `before` into `after`.

    `running` is all that endpoints of the application run. Return which of it those run who are told again.
    """
    key = before.application.key
    shown = [version for version in after.software if _offerable(after, version) and not _offerable(before, version)]
    # What is committed: that the edit itself begins a sweep does not matter.
    if not shown or all(work.application != key for work in await storage.works()):
        return set()
    offered = _offered(await storage.counters(key))
    numbers = rules.numbers(shown, after.catalogue) & (
        rules.numbers(offered, after.catalogue) | after.catalogue.consenting
    )
    concerned = {version for version in running if after.catalogue.successors(version) & numbers}
    if concerned:
        await edit.renew(key, Renewal.SHOWN, concerned, at)
    return concerned


def _offered(numbers: Counter[CounterKey]) -> set[Version | None]:
    """What some endpoint holds an offer of that it has not begun."""
    label = AttemptState.OFFERED.value
    return {key.version for key, amount in numbers.items() if (key.name, key.label) == ("latest", label) and amount}


def _offerable(entry: Entry, version: Version) -> bool:
    return entry.offerable(version, started=False)
