from __future__ import annotations

from broker_bridge.errors import AddressError, BrokerError, BrokerRefused, MalformedPacket
from protocol.errors import ProtocolError


def test_a_refusal_is_what_the_port_promises_and_ours() -> None:
    refused = BrokerRefused("Not authorized", 0x87)
    assert isinstance(refused, ProtocolError)
    assert isinstance(refused, BrokerError)
    assert (refused.code, refused.reason_code) == ("broker-refused", 0x87)
    assert str(refused) == "the broker refuses us: Not authorized"


def test_an_address_error_says_what_is_wrong() -> None:
    assert str(AddressError("it names no host")) == "the broker's address cannot be used: it names no host"


def test_a_malformed_packet_says_what_is_wrong_with_it() -> None:
    error = MalformedPacket("a string that is longer than its packet")
    assert (error.code, error.transient) == ("packet-malformed", True)
    assert str(error) == "the broker sent what is not MQTT: a string that is longer than its packet"
