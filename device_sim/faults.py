"""What can be wrong with a device; each fault has one behaviour, which `behaviours`, `installs` or `reports` gives it.

Rules:
- A device has at most one fault.
- `converges` says whether a device with the fault gets to the last version all the same, if slowly.

Layer: device_sim; pure.
"""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """A named fault."""

    OFFLINE = "offline"
    """Reports once, ignores what it is offered, and leaves for good as soon as its report is confirmed."""
    SLEEPER = "sleeper"
    """Awake for a short time, asleep for a long one; finds its offer when it wakes, and stays awake for an install."""
    DUPLICATES = "duplicates"
    """Sends each report twice."""
    DROPS = "drops"
    """One message in four that it sends is lost, together with its connection, which it then makes again."""
    STALL = "stall"
    """Stops for ever in the middle of its first download, and stays connected."""
    POWER_CUT = "power-cut"
    """Loses power once, while it writes its first image; starts again from the old slot, and then succeeds."""
    FAILING_INSTALL = "failing-install"
    """Each install fails and is reported with status code 507, "no room left"; it goes on with what it ran."""
    FALL_BACK = "fall-back"
    """Reports the new version, then a watchdog takes it back to the old slot (`Pace.watchdog_seconds`)."""
    UNHEALTHY = "unhealthy"
    """Reports each new version, and after a while that it does not fare well with it."""
    NO_BUMP = "no-bump"
    """The new image says that it is the old version: it reports that, and flashes for ever."""
    SILENT = "silent"
    """A brick: never heard of again after its first install."""
    REFUSES_CONSENT = "refuses-consent"
    """Answers no whenever it is asked for its consent; without being asked it installs what it is offered."""
    NEVER_SUBSCRIBES = "never-subscribes"
    """Reports at each start and never subscribes, so that it hears of no offer."""
    FOREIGN_CONFIG_ID = "foreign-config-id"
    """Reports a `configId` that is no version, as some firmware does: each report is refused."""
    QOS_0 = "qos0"
    """Publishes and subscribes with QoS 0 only."""

    @property
    def converges(self) -> bool:
        """Whether the device is up to date in the end."""
        return self in _CONVERGING


_CONVERGING = frozenset({Fault.SLEEPER, Fault.DUPLICATES, Fault.DROPS, Fault.POWER_CUT, Fault.QOS_0})
