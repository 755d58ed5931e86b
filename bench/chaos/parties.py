"""An application under load: its fleet, its operator, what was reported and what was offered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.chaos import fleets
from bench.chaos.fleets import Ledger
from bench.chaos.operators import Operator
from tests.system.hearings import Hearing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from device_sim.devices import Device
    from device_sim.fleets import Fleet
    from tests.brokers import Mosquitto
    from tests.services import Service

NAMES = ("kettle", "toaster", "lamp", "oven", "fridge", "heater")


@dataclass(slots=True, kw_only=True)
class Party:
    """One application with everybody who has to do with it."""

    application: str
    fleet: Fleet
    ledger: Ledger
    operator: Operator
    hearing: Hearing
    """What its endpoints were offered."""

    @property
    def app_version(self) -> str:
        """Of its endpoints."""
        return fleets.app_version_of(self.application)

    @property
    def devices(self) -> Sequence[Device]:
        """Of its fleet."""
        return self.fleet.devices()

    async def listen(self, broker: Mosquitto) -> None:
        """Note what is offered, until cancelled."""
        await self.hearing.listen(broker)


def build(
    broker: str,
    applications: Sequence[str],
    *,
    devices: int,
    reports: float,
    seed: int,
    reach: Callable[[], Service],
    tell: Callable[[str], None],
) -> list[Party]:
    """One for each application; devices and reports are shared out evenly."""
    parties = []
    for number, application in enumerate(applications):
        ledger, share = Ledger(), len(applications)
        fleet = fleets.build(
            broker,
            application,
            devices=devices // share,
            reports=reports / share,
            seed=seed + number,
            ledger=ledger,
        )
        operator = Operator(application=application, reach=reach, seed=seed, tell=tell)
        hearing = Hearing(fleets.app_version_of(application))
        party = Party(application=application, fleet=fleet, ledger=ledger, operator=operator, hearing=hearing)
        parties.append(party)
    return parties
