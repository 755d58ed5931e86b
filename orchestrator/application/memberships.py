"""Which filters an endpoint is in, remembered by what the filters look at.

Rules:
- What no filter in use looks at takes no part in what is remembered, so that alike endpoints are worked out once.
- What a message itself may change (versions, when it was heard) is looked at again after every message, and only when
  a filter in use looks at it.

Layer: application; pure.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import orjson

from orchestrator.domain.expressions import INSTANTS, REPORTED, Name
from orchestrator.domain.filters import Values

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.domain.filters import Filter
    from orchestrator.domain.versions import Version

ZONE = "timeZone"
"""The attribute that holds an endpoint's time zone."""
_REMEMBERED = 4096
"""How many different subjects have their filters remembered, per application."""
_UNIQUE = INSTANTS | {Name.ENDPOINT_ID}
"""What endpoints hardly share: nothing is gained by remembering it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One endpoint as filters look at it."""

    attributes: str
    """JSON text of an object."""
    endpoint_id: str
    app_version: str
    running: Version | None
    registered_at: datetime
    last_seen_at: datetime | None

    def values(self) -> Values:
        """The same with the attributes read."""
        return Values(
            attributes=orjson.loads(self.attributes),
            endpoint_id=self.endpoint_id,
            app_version=self.app_version,
            running=self.running,
            registered_at=self.registered_at,
            last_seen_at=self.last_seen_at,
        )


class Belonging(NamedTuple):
    """What of an endpoint's own the decision looks at."""

    filters: frozenset[str]
    """The filters in use that it is in."""
    zone: str | None
    """Its time zone, where some window is in the endpoints' own; None also where it names none."""


class Memberships:
    """The filters in use of one application."""

    def __init__(self, filters: Iterable[Filter], *, zoned: bool = False) -> None:
        """Take the filters that software lists, and whether time zones matter; nothing is remembered yet."""
        self._filters = tuple(filters)
        self._zoned = zoned
        seen = frozenset(name for item in self._filters for name in item.reads)
        self.follows_reports = bool(seen & REPORTED)
        """Whether a message alone may move an endpoint into a filter or out of it."""
        self._attributes = None in seen
        self._app_version = Name.APP_VERSION in seen
        self._running = Name.RUNNING_VERSION in seen
        self._remembers = not seen & _UNIQUE
        self._known: OrderedDict[tuple[str, str, str], frozenset[str]] = OrderedDict()

    def belonging(self, subject: Subject) -> Belonging:
        """What the decision looks at of the endpoint."""
        return Belonging(self.of(subject), zone_of(subject.attributes) if self._zoned else None)

    def of(self, subject: Subject) -> frozenset[str]:
        """The identifiers of the filters that the endpoint is in."""
        if not self._remembers:
            return self._worked_out(subject)
        # Versions by their text: those that differ in build metadata only are equal, and not to a filter.
        running = subject.running.text if self._running and subject.running is not None else ""
        key = (
            subject.attributes if self._attributes else "",
            subject.app_version if self._app_version else "",
            running,
        )
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._worked_out(subject)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _worked_out(self, subject: Subject) -> frozenset[str]:
        if not self._filters:
            return frozenset()
        values = subject.values()
        return frozenset(item.filter_id for item in self._filters if item.matches(values))


def zone_of(attributes: str) -> str | None:
    """The time zone that an endpoint's attributes (JSON text) name; None: none."""
    zone = orjson.loads(attributes).get(ZONE)
    # An empty name is none, as the storage has it.
    return zone if isinstance(zone, str) and zone else None
