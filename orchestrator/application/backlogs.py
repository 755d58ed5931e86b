"""Answers to what the broker had kept for us: offers in them wait until all of it is known.

Rules:
- A request that waited is older than its endpoint, which may have installed the offer since and said so in a message
  further behind; some clients install whatever they are answered. So an answer that holds an offer is held until
  everything that waited is committed, and then says what its endpoint is offered at that moment.
- Other answers do not wait.

Layer: application.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.application import pushes
from orchestrator.domain.attempts import AttemptState
from protocol import configurations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.answers import Answer
    from orchestrator.application.directory import Directory
    from orchestrator.application.ports import Storage
    from orchestrator.application.records import EndpointRecord

    Place: TypeAlias = tuple[int, str]
    """Application and token."""

MOST = 20_000
"""Answers that are held; about 1 KiB each."""
SLICE = 500
"""Endpoints looked up at once."""


class Backlog:
    """The answers that are held during one connection's catching up."""

    def __init__(self, storage: Storage, directory: Directory) -> None:
        """Start with none."""
        self._storage = storage
        self._directory = directory
        self._held: list[Answer] = []

    def hold(self, answers: Sequence[Answer]) -> tuple[list[Answer], int]:
        """Keep those that hold an offer; return the others in order, and how many found no room and are dropped."""
        offers = [answer for answer in answers if answer.version is not None]
        room = MOST - len(self._held)
        self._held += offers[:room]
        return [answer for answer in answers if answer.version is None], max(len(offers) - room, 0)

    def drop(self) -> int:
        """Forget those that are held, because nobody is there to read them; return how many."""
        dropped, self._held = len(self._held), []
        return dropped

    async def release(self) -> list[Answer]:
        """Those that were held, in order, each saying what its endpoint is offered now.

        Raises:
            StorageError: the endpoints cannot be read; everything is held as before.
        """
        revised: list[Answer] = []
        for start in range(0, len(self._held), SLICE):
            part = self._held[start : start + SLICE]
            places = list(dict.fromkeys(map(_place_of, part)))
            async with self._storage.transaction() as transaction:
                found = await transaction.find(places, None)
            records = {(record.application, record.token): record for record in found}
            revised += [self._revised(answer, records.get(_place_of(answer))) for answer in part]
        self._held.clear()
        return revised

    def _revised(self, answer: Answer, record: EndpointRecord | None) -> Answer:
        entry = self._directory.by_key(answer.application)
        attempt = None if record is None else record.endpoint.attempt
        if entry is None or attempt is None or not pushes.visible(entry, attempt.version, attempt.state):
            message = replace(answer.message, payload=configurations.nothing(None, None))
            return replace(answer, message=message, version=None, started=False)
        return replace(
            answer,
            message=replace(answer.message, payload=entry.offer(attempt.version)),
            version=attempt.version,
            started=attempt.state is AttemptState.INSTALLING,
        )


def _place_of(answer: Answer) -> Place:
    # Every topic on which an endpoint may be answered, a Response Topic too, has its token in the same place.
    return answer.application, answer.message.topic.split("/", 4)[3]
