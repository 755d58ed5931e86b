"""A broker's address, taken apart."""

from __future__ import annotations

import pytest

from device_sim import addresses
from device_sim.addresses import Address
from device_sim.errors import AddressError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://127.0.0.1", Address(host="127.0.0.1", port=1883, encrypted=False)),
        ("mqtts://broker.example", Address(host="broker.example", port=8883, encrypted=True)),
        ("mqtt://[::1]:1884/", Address(host="::1", port=1884, encrypted=False)),
        ("mqtt://u:p%40@h:1", Address(host="h", port=1, encrypted=False, username="u", password="p@")),
        ("mqtt://u@h", Address(host="h", port=1883, encrypted=False, username="u")),
    ],
)
def test_an_address_is_read(url: str, address: Address) -> None:
    assert addresses.parse(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "localhost:1883", "http://h", "mqtt://", "mqtt://h:0", "mqtt://h:99999", "mqtt://h:x", "mqtt://h/a",
     "mqtt://h?a=b", "mqtt://:p@h", "mqtt://[::1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(AddressError, match="it looks like mqtt://") as caught:
        addresses.parse(url)
    assert caught.value.code == "broker-address-invalid"


def test_the_token_stands_in_for_its_placeholder() -> None:
    address = addresses.parse("mqtt://{token}:secret-{token}@h")
    assert address.per_token
    assert address.credentials("tok7") == ("tok7", "secret-tok7")
    assert not addresses.parse("mqtt://u:p@h").per_token
    assert addresses.parse("mqtt://h").credentials("tok7") == (None, None)


def test_people_see_no_password() -> None:
    address = addresses.parse("mqtt://u:hidden@h:5")
    assert address.place == "h:5"
    assert "hidden" not in repr(address)
