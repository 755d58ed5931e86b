from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest

from broker_bridge import paho_clients
from broker_bridge.options import LinkOptions
from broker_bridge.paho_connections import Listener, PahoConnection
from broker_bridge.paho_sockets import Pump
from protocol.links import Outbound
from tests.brokers import self_signed
from tests.contract.deadlines import eventually
from tests.unit.broker_bridge.scripted_brokers import CONNECT, PUBLISH, ScriptedBroker

if TYPE_CHECKING:
    from pathlib import Path


async def test_reading_stops_and_goes_on_and_what_is_queued_is_flushed() -> None:
    async with ScriptedBroker() as broker:
        profile = paho_clients.session(LinkOptions(url=broker.url, client_id="c"))
        client = paho_clients.make(profile)
        seen: list[bytes] = []
        turns: list[int] = []
        pump = Pump(client, lambda: turns.append(len(seen)))

        def arrived(_client: object, _userdata: object, message: object) -> None:
            seen.append(getattr(message, "payload", b""))
            pump.progressed()

        client.on_message = arrived
        await asyncio.to_thread(paho_clients.connect, client, profile)
        pump.attach()
        await broker.gets(CONNECT)
        pump.pause()
        for number in range(600):
            broker.publish(b"t", str(number).encode())
        paho_clients.publish(client, Outbound(topic="t", payload=bytes(3_000_000)), level=5)
        await broker.gets(PUBLISH)  # larger than any socket buffer: written in pieces while nothing is read
        assert seen == []
        pump.resume()
        await eventually(lambda: len(seen) == 600, "all messages")
        assert seen == [str(number).encode() for number in range(600)]
        assert len(turns) > 2, "reading gives others their turn"
        broker.cut()
        await eventually(lambda: not pump.reading, "the end to be noticed")
        pump.resume()
        assert not pump.reading


async def test_all_of_one_tls_record_is_read_though_the_socket_has_nothing_more(tmp_path: Path) -> None:
    certificate, key = await asyncio.to_thread(self_signed, tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    seen: list[bytes] = []
    async with ScriptedBroker(tls=tls) as broker:
        options = LinkOptions(url=broker.url, client_id="c", ca_file=certificate)
        listener = Listener(
            on_message=lambda message: seen.append(message.payload),
            on_malformed=lambda _packet_id: None,
            on_answered=lambda _packet_id, _code: None,
            on_read=lambda: None,
        )
        connection = PahoConnection(paho_clients.session(options), listener)
        await connection.open()
        # More packets than one turn of reading takes, fewer bytes than a record holds (16 KiB).
        broker.write(b"".join(broker.encoded_publish(b"t", str(number).encode()) for number in range(900)))
        await eventually(lambda: len(seen) == 900, "all messages of the record")
        connection.close()


async def test_a_client_without_a_socket_cannot_be_attached() -> None:
    client = paho_clients.make(paho_clients.session(LinkOptions(url="mqtt://h", client_id="c")))
    with pytest.raises(ConnectionResetError):
        Pump(client, lambda: None).attach()
