from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from broker_bridge import profiles
from broker_bridge.errors import AddressError
from broker_bridge.options import LinkOptions
from broker_bridge.packets import Connect
from protocol.links import Outbound, Subscription
from tests.brokers import self_signed

if TYPE_CHECKING:
    from pathlib import Path

WILL = Outbound(topic="w", payload=b"gone", qos=1, retain=True)
OPTIONS = LinkOptions(
    url="mqtt://u:p%40@h",
    client_id="c",
    will=WILL,
    receive_maximum=1234,
    keep_alive=timedelta(seconds=7),
    session_expiry=timedelta(minutes=1),
    subscriptions=(Subscription(topic_filter="a"),),
)


def test_the_session_s_connection() -> None:
    assert profiles.session(OPTIONS).connect == Connect(
        level=5,
        client_id="c",
        clean=False,
        keep_alive_seconds=7,
        session_expiry_seconds=60,
        receive_maximum=1234,
        user="u",
        password="p@",
        will=WILL,
    )


def test_the_reader_is_another_client_without_will_session_or_subscriptions() -> None:
    reader = profiles.reader(OPTIONS)
    assert reader.options.subscriptions == ()
    connect = reader.connect
    assert (connect.client_id, connect.clean, connect.will, connect.session_expiry_seconds) == (
        "c-reader",
        True,
        None,
        0,
    )
    assert (connect.user, connect.password) == ("u", "p@")


def test_levels() -> None:
    assert profiles.session(OPTIONS).level == 5
    assert profiles.session(LinkOptions(url="mqtt://h", client_id="c", protocol="3.1.1")).level == 4


def test_only_mqtts_is_encrypted() -> None:
    assert profiles.session(OPTIONS).tls() is None
    assert profiles.session(LinkOptions(url="mqtts://h", client_id="c")).tls() is not None


def test_tls_files_are_used_or_named_as_what_is_wrong(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    own = LinkOptions(url="mqtts://h", client_id="c", ca_file=certificate, certificate_file=certificate, key_file=key)
    context = profiles.session(own).tls()
    assert context is not None
    assert len(context.get_ca_certs()) == 1
    absent = tmp_path / "absent.pem"
    for options in (
        LinkOptions(url="mqtts://h", client_id="c", ca_file=absent),
        LinkOptions(url="mqtts://h", client_id="c", certificate_file=absent),
    ):
        with pytest.raises(AddressError):
            profiles.session(options).tls()
