"""How long things take a device, as a text: `watchdog=30s,health=5s,report-every=1m`.

Rules:
- A name is that of a member of `Pace`, without its unit and with hyphens.
- A time is a number with `s`, `m` or `h`; without one it is seconds.

Layer: device_sim; pure.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace

from device_sim.devices import Pace
from device_sim.errors import PlanError

_TIME = re.compile(r"(?P<number>[0-9]{1,7}(?:\.[0-9]{1,3})?)(?P<unit>[smh]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_UNIT = "_seconds"
_MEMBERS = {field.name.removesuffix(_UNIT).replace("_", "-"): field.name for field in fields(Pace)}

NAMES = tuple(_MEMBERS)
"""What may be named."""
BRISK = Pace()
"""For somebody who looks on: an update takes seconds."""
REAL = Pace(
    download_seconds=240,
    verify_seconds=10,
    install_seconds=60,
    reboot_seconds=30,
    check_seconds=20,
    retry_seconds=3600,
    awake_seconds=300,
    asleep_seconds=4 * 3600,
    watchdog_seconds=1800,
    health_seconds=300,
)
"""For virtual time: as long as things take a device in the field."""


def parse(text: str, usual: Pace = BRISK) -> Pace:
    """Read a pace; what is not named is as in the `usual` one.

    Raises:
        PlanError: a name is none of `NAMES` or twice there, or a time is none.
    """
    given: dict[str, float] = {}
    for item in text.split(",") if text.strip() else ():
        name, _, time = (part.strip() for part in item.partition("="))
        if name not in _MEMBERS or _MEMBERS[name] in given:
            raise PlanError(f"{name!a} is no pace of its own; there are {', '.join(NAMES)}")
        given[_MEMBERS[name]] = _seconds(time)
    return replace(usual, **given)


def _seconds(text: str) -> float:
    matched = _TIME.fullmatch(text)
    if matched is None:
        raise PlanError(f"{text!a} is no time: it looks like 0.5s, 90s, 5m or 1h")
    return float(matched["number"]) * _UNITS[matched["unit"]]
