"""What the engine needs from outside, as roles.

Rules:
- Everything between the start and the end of one `transaction()` is written, or nothing is; there is one writer.
- A transaction's cost is a constant number of statements, whatever the size of the batch.
- `StorageError` that is transient may be tried again from the start of the transaction.

Layer: application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime, timedelta

    from orchestrator.application.classes import ClassVerdict, Look, Page, Work
    from orchestrator.application.counters import CounterKey
    from orchestrator.application.directory import Entry
    from orchestrator.application.memberships import Belonging, Subject
    from orchestrator.application.pushes import ParkedPush, Place, Push, Superseded
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.domain.versions import Version

    Deliveries: TypeAlias = Sequence[tuple[int, int]]
    """Packet identifiers and digests of messages that may come again."""
    Membership: TypeAlias = Callable[[int, Subject], Belonging]
    """An application and an endpoint of it → the filters in use that the endpoint is in, and its time zone."""

SUBSCRIBED = 0
"""Among deliveries, where it is no packet identifier: the digest of what is subscribed to in the broker's session."""


class StorageError(Exception):
    """The database could not do what it was asked; `transient` says whether trying again may help."""

    code = "storage-error"

    def __init__(self, reason: str, *, transient: bool) -> None:
        """Keep why, and whether it may pass."""
        super().__init__(f"the database: {reason}")
        self.reason = reason
        self.transient = transient


class ValueRefusedError(StorageError):
    """The database does not take a value that it was given; everything else can be stored."""

    def __init__(self, reason: str) -> None:
        """Keep what it said; trying again would change nothing."""
        super().__init__(reason, transient=False)


class Clock(Protocol):
    """Time that never goes back."""

    def now(self) -> datetime:
        """The present instant, aware, UTC."""

    def suspension(self) -> timedelta:
        """How much longer no deadline shall be enforced, because the clock has jumped lately; zero: not at all."""


class Transaction(Protocol):
    """One batch's view of the storage."""

    async def find(self, tokens: Sequence[tuple[int, str]], membership: Membership | None) -> list[EndpointRecord]:
        """Load the endpoints of (application, token) pairs; unknown pairs are absent, order is not kept.

        `membership` is asked what each belongs to; None: nobody wants to know.
        """

    async def find_keys(self, keys: Sequence[int], membership: Membership | None) -> list[EndpointRecord]:
        """The same by key."""

    async def find_due(self, now: datetime, limit: int, membership: Membership | None) -> list[EndpointRecord]:
        """The endpoints whose timer is due at `now`, the longest due first."""

    async def taken(self, endpoint_ids: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
        """Which of these (application, endpointId) pairs exist."""

    async def attributes(self, keys: Sequence[int]) -> dict[int, str]:
        """The attributes (JSON text) of endpoints, by key."""

    async def save_attributes(self, attributes: Mapping[int, str]) -> None:
        """Replace the attributes (JSON text) of endpoints, by key."""

    async def store(
        self, drafts: Sequence[Draft], due: Sequence[datetime | None], at: datetime, deliveries: Deliveries = ()
    ) -> Sequence[Push]:
        """Write what has become of endpoints: state, setbacks, superseded attempts, history, pushes, counters.

        `due` holds each draft's next timer. A draft whose key is 0 is a new endpoint. Those that are held for want of
        room are queued, as `queue` does. `deliveries` are remembered, as `remember` does. The pushes are returned as
        `Storage.pushes` would read them after the commit, in order of revision.
        """

    async def numbers(self, applications: Collection[int], names: Collection[str]) -> Counter[CounterKey]:
        """The numbers of these names of some applications, as this transaction sees them, zeros left out."""

    async def queue(self, application: int, version: Version, after: int, at: datetime) -> None:
        """Have a version offered, as room comes, to endpoints with keys above `after`.

        There is one queue for each version. One that has come further than `after` begins again at its end.
        """

    async def requeue(self, work: Work) -> bool:
        """The queue has come to its end: begin it again, if anybody has joined behind it; return whether it does."""

    async def mark_offered(self, offered: Collection[tuple[int, Version]], at: datetime) -> None:
        """Freeze the specifications of software (application, version) that is offered for the first time."""

    async def remember(self, deliveries: Deliveries) -> None:
        """Keep (packet identifier, digest) of messages whose effect is in this transaction."""

    async def forget_deliveries(self) -> None:
        """Drop all of those: the broker has no session of ours, so nothing will be redelivered."""

    async def bury(self, topic: str, payload: bytes, error: str, at: datetime) -> None:
        """Keep a message that cannot be processed among the dead letters."""

    async def page(self, work: Work, limit: int, entry: Entry) -> Page:
        """The next endpoints that a work item concerns, among at most `limit` endpoints, summed up by class.

        Filters are matched by the database; `entry` says which are in use.
        """

    async def move_classes(
        self, work: Work, page: Page, verdicts: Sequence[ClassVerdict], entry: Entry, at: datetime
    ) -> None:
        """Write the verdicts of a page's classes, one statement per table, and count them."""

    async def advance(self, work: Work, cursor: int | None) -> None:
        """Move a work item's cursor; None: it is done."""

    async def park(self, pushes: Sequence[ParkedPush]) -> None:
        """Keep pushes that the broker refused, replacing earlier entries of the same topics."""

    async def unpark(self, topics: Sequence[str]) -> None:
        """Drop topics from the parked ones."""

    async def raise_watermark(self, revision: int, at: datetime) -> None:
        """Keep the revision up to which all pushes are acknowledged, and that the service was alive at `at`."""

    async def note_dates(self, at: datetime) -> None:
        """Keep `at` as the instant up to which rollout dates have been acted on."""

    async def add_outage(self, started_at: datetime, ended_at: datetime) -> None:
        """Keep a span in which no endpoint could be heard."""

    async def drop_pushes(self, revisions: Sequence[int]) -> None:
        """Drop pushes; see `Storage.superseded`."""


class Storage(Protocol):
    """The engine's storage."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin; commit at the end of the block, roll back when it raises.

        Raises:
            StorageError: begin or commit did not succeed; nothing is written.
        """

    async def pushes(self, after: int, limit: int) -> list[Push]:
        """Committed pushes with a revision above `after`, in order, each with the present state of its topic."""

    async def pushes_of(self, keys: Sequence[int]) -> list[Push]:
        """The present state of the push topics of these endpoints, revision as last pushed."""

    async def superseded(self, after: int, upto: int, limit: int) -> Superseded:
        """Which of the next `limit` pushes between two revisions a later one of the same topic stands behind.

        They stay so. Revisions have gaps, so that pushes are counted.
        """

    async def push_sample(self, after_key: int, limit: int) -> list[Push]:
        """The present state of push topics that were ever pushed, in order of endpoint, from `after_key` on."""

    async def residents(self, places: Sequence[Place]) -> dict[Place, Push]:
        """Those of these places that an endpoint has now, each with the present state of its push topics."""

    async def all_parked_topics(self) -> set[str]:
        """Every parked topic."""

    async def parked(self, now: datetime, limit: int) -> list[ParkedPush]:
        """Parked pushes whose retry is due."""

    async def look(self, work: Work, limit: int, entry: Entry) -> Look:
        """The next endpoints of a change as `Transaction.page` would find them, but beside the writer."""

    async def works(self) -> list[Work]:
        """All unfinished changes in the order in which they are to be drawn: renewals, then the others; oldest first.

        So nobody is told anew whom a change only now tells something.
        """

    async def queues(self) -> list[Work]:
        """All queues of endpoints that wait for room, oldest first."""

    async def deliveries(self) -> dict[int, int]:
        """Packet identifier → digest of everything remembered."""

    async def watermark(self) -> int:
        """As last raised; 0 at first."""

    @property
    def revision(self) -> int:
        """A push revision below which nothing will be committed any more, and above which nothing is.

        Known without a look. Revisions have gaps: it need not be that of any push.
        """

    @property
    def commits(self) -> int:
        """How many transactions have committed since it was opened."""

    async def last_revision(self) -> int:
        """The highest push revision that was ever committed; 0 at first."""

    async def alive_at(self) -> datetime | None:
        """When the service last said that it was alive; None before the first time."""

    async def dates_at(self) -> datetime | None:
        """The instant up to which rollout dates have been acted on; None before the first time."""

    async def outages(self) -> list[tuple[datetime, datetime]]:
        """All spans in which no endpoint could be heard, oldest first."""


class Steps(Protocol):
    """Told at every step of a batch, so that a test can stop the world there."""

    def __call__(self, step: str, /) -> None:
        """`step` has just been reached."""


class Outages(Protocol):
    """How much of a span no endpoint could be heard in."""

    def within(self, started_at: datetime, ended_at: datetime) -> timedelta:
        """The sum of the outages between two instants."""
