"""What the loops of one engine have in common.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.application import paces
from orchestrator.application.feeds import Feed
from orchestrator.application.floods import Floods
from orchestrator.application.presence import Presence
from orchestrator.application.rooms import Rooms
from orchestrator.application.signals import Signals
from orchestrator.application.silences import Silences
from orchestrator.application.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.application.batches import Settings
    from orchestrator.application.directory import Directory
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.partitions import Locations
    from orchestrator.application.ports import Clock, Steps, Storage
    from protocol.links import Link
    from protocol.topics import Instances


def no_steps(_step: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The ports, the catalogue and the numbers of one partition."""

    link: Link
    storage: Storage
    editing: EditingStorage
    directory: Directory
    clock: Clock
    settings: Settings
    partition: str
    installation: str
    """Told in the sentinel, so that another installation's is not taken for ours."""
    generation: int = 0
    """Told there too: a database that was restored is older than what it has told the broker."""
    subscribed: int | None = None
    """Tells apart what our session is to be subscribed to; None: that varies."""
    locations: Locations | None = None
    """Where applications are that are not in this partition; None: there are none."""
    steps: Steps = no_steps
    elapsed: Callable[[], float] = paces.running_time
    """Seconds that have really passed, to pace work by."""
    feed: Feed = field(default_factory=Feed)
    presence: Presence = field(default_factory=Presence)
    rooms: Rooms = field(default_factory=Rooms)
    floods: Floods = field(default_factory=Floods)
    signals: Signals = field(default_factory=Signals)
    silences: Silences = field(default_factory=Silences)
    tallies: Tallies = field(default_factory=Tallies)

    @property
    def instances(self) -> Instances:
        """The names of the extension instances."""
        return self.settings.instances
