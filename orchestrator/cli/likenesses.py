"""What a simulated fleet is to be like, as the options of `otao sim` say it.

Layer: cli.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_sim.devices import Pace
    from device_sim.plans import FleetPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Texts and numbers as they were given; None: not at all."""

    app_version: str | None
    devices: int | None
    versions: str | None
    faults: str
    attributes: tuple[str, ...]
    seed: int
    pace: str
    prefix: str

    def plan(
        self, *, app_version: str, devices: int, versions: str, pace: Pace, gateways: int = 0, keep_alive: int = 60
    ) -> FleetPlan:
        """The fleet; the arguments stand for what was not given.

        Raises:
            PlanError: there cannot be such a fleet.
        """
        from device_sim import mixes, paces
        from device_sim.plans import FleetPlan, plan_attributes

        return FleetPlan(
            app_version=self.app_version or app_version,
            devices=devices if self.devices is None else self.devices,
            versions=mixes.parse(self.versions or versions),
            faults=mixes.parse(self.faults),
            attributes=plan_attributes(self.attributes),
            seed=self.seed,
            gateways=gateways,
            keep_alive=keep_alive,
            pace=paces.parse(self.pace, pace),
            prefix=self.prefix,
        )
