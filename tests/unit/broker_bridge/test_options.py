from __future__ import annotations

from datetime import timedelta

import pytest

from broker_bridge.errors import AddressError
from broker_bridge.options import FOR_EVER, Address, LinkOptions


def test_a_full_address() -> None:
    address = Address.parse("mqtts://o%40tao:p%2Fw%3A@broker.example:1234")
    assert address == Address(host="broker.example", port=1234, encrypted=True, user="o@tao", password="p/w:")


@pytest.mark.parametrize(("url", "port"), [("mqtt://h", 1883), ("mqtts://h", 8883), ("mqtt://[::1]/", 1883)])
def test_ports_have_defaults(url: str, port: int) -> None:
    address = Address.parse(url)
    assert (address.port, address.user, address.password) == (port, None, None)


@pytest.mark.parametrize(
    "url",
    ["", "h:1883", "http://h", "mqtt://", "mqtt://:secret@", "mqtt://u:secret@h:x", "mqtt://u:secret@h:99999",
     "mqtt://u:secret@h/path", "mqtt://u:secret@h?x=secret", "mqtt://u:secret@[::1"],
)  # fmt: skip
def test_a_bad_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(AddressError) as refused:
        Address.parse(url)
    assert "secret" not in str(refused.value)


def test_no_repr_shows_the_password() -> None:
    url = "mqtt://u:secret@h"
    assert "secret" not in repr(Address.parse(url)) + repr(LinkOptions(url=url, client_id="c"))


@pytest.mark.parametrize(
    ("expiry", "seconds"),
    [(timedelta(days=7), 604_800), (None, FOR_EVER), (timedelta.max, FOR_EVER), (timedelta(), 0)],
)
def test_session_expiry_as_mqtt_5_carries_it(expiry: timedelta | None, seconds: int) -> None:
    assert LinkOptions(url="mqtt://h", client_id="c", session_expiry=expiry).session_expiry_seconds == seconds
