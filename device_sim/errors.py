"""Errors of simulated devices and of the reference client.

SimulatorError
├── PlanError               plan-invalid
├── AddressError            broker-address-invalid
├── BrokerUnreachableError  broker-unreachable (transient)
├── BrokerRefusedError      broker-refused
├── TooManyConnectionsError too-many-connections
├── MalformedPacketError    packet-malformed
└── IllegalMoveError        device-move-illegal

Rules:
- An address is shown without its password.

Layer: device_sim.
"""

from __future__ import annotations


class SimulatorError(Exception):
    """Something is wrong with a simulated fleet or a client; `code` is stable, kebab-case, and shown to users."""

    code = "simulator-error"


class PlanError(SimulatorError):
    """What a fleet should be like does not fit together."""

    code = "plan-invalid"


class AddressError(SimulatorError):
    """The broker's address is none."""

    code = "broker-address-invalid"

    def __init__(self, reason: str) -> None:
        """Say what an address looks like."""
        super().__init__(f"{reason}; it looks like mqtt://USER:PASSWORD@HOST:PORT, or mqtts://")


class BrokerUnreachableError(SimulatorError):
    """Nobody answers at the broker's address, or not as a broker does."""

    code = "broker-unreachable"
    transient = True

    def __init__(self, place: str, cause: str) -> None:
        """Name host and port, and what happened there."""
        super().__init__(f"the broker at {place} cannot be reached: {cause}")
        self.place = place


class BrokerRefusedError(SimulatorError):
    """The broker answers, and does not let us in."""

    code = "broker-refused"

    def __init__(self, place: str, reason: str) -> None:
        """Name host and port, and the broker's reason."""
        super().__init__(f"the broker at {place} refuses the connection: {reason}")
        self.place = place


class TooManyConnectionsError(SimulatorError):
    """The operating system allows this process fewer connections than the fleet needs."""

    code = "too-many-connections"

    def __init__(self, needed: int, allowed: int) -> None:
        """Name both numbers, and the two ways out."""
        super().__init__(
            f"{needed} connections need more than the {allowed} files that this process may open: "
            "raise the limit (ulimit -n), or let gateways carry the devices"
        )
        self.needed = needed
        self.allowed = allowed


class MalformedPacketError(SimulatorError):
    """Bytes from the broker are no packet of MQTT 3.1.1 that a client may get."""

    code = "packet-malformed"


class IllegalMoveError(SimulatorError):
    """A device was about to go from one state to another that does not follow it."""

    code = "device-move-illegal"

    def __init__(self, before: str, after: str) -> None:
        """Name both states."""
        super().__init__(f"a device cannot go from {before} to {after}")
