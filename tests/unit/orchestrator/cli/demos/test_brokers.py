"""Which broker the demonstration takes, and how."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.demos import brokers
from orchestrator.cli.demos.brokers import Broker, Kind, configuration, find_mosquitto, free_port, open_broker
from orchestrator.cli.demos.errors import ChildFailedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def _no_mosquitto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(brokers, "_WHERE_DEBIAN_PUTS_IT", (str(tmp_path),))


def fake_mosquitto(folder: Path, source: str) -> None:
    program = folder / "mosquitto"
    program.write_text(f"#!/bin/sh\n{source}\n")
    program.chmod(0o755)


@pytest.mark.usefixtures("_no_mosquitto")
async def test_without_mosquitto_it_is_the_embedded_one_unless_that_was_not_asked_for(tmp_path: Path) -> None:
    assert find_mosquitto() is None
    async with open_broker(tmp_path) as broker:
        assert broker.kind is Kind.EMBEDDED
        assert broker.child is None
    with pytest.raises(ChildFailedError, match="mosquitto is not on this machine"):
        async with open_broker(tmp_path, Kind.MOSQUITTO):
            pass


@pytest.mark.usefixtures("_no_mosquitto")
async def test_mosquitto_is_found_where_only_root_s_path_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "sbin"
    elsewhere.mkdir()
    fake_mosquitto(elsewhere, "exit 1")
    monkeypatch.setattr(brokers, "_WHERE_DEBIAN_PUTS_IT", (str(elsewhere),))
    assert find_mosquitto() == str(elsewhere / "mosquitto")


@pytest.mark.usefixtures("_no_mosquitto")
async def test_the_embedded_one_can_be_asked_for_where_mosquitto_is(tmp_path: Path) -> None:
    fake_mosquitto(tmp_path, "exit 1")
    async with open_broker(tmp_path, Kind.EMBEDDED) as broker:
        assert broker.kind is Kind.EMBEDDED


@pytest.mark.usefixtures("_no_mosquitto")
async def test_a_mosquitto_that_does_not_start_is_tried_on_other_ports_and_then_named(tmp_path: Path) -> None:
    fake_mosquitto(tmp_path, f'echo "$2" >> {tmp_path}/tries; echo "no such thing" >&2; exit 3')
    with pytest.raises(ChildFailedError, match=r"exit code 3(.|\n)*no such thing"):
        async with open_broker(tmp_path):
            pass
    assert len((tmp_path / "tries").read_text().splitlines()) == 5


def test_the_service_is_told_of_either() -> None:
    assert Broker(kind=Kind.MOSQUITTO, port=4711).settings() == {"OTAO_MQTT_URL": "mqtt://127.0.0.1:4711"}
    embedded = Broker(kind=Kind.EMBEDDED, port=4711)
    assert embedded.url == "mqtt://127.0.0.1:4711"
    assert embedded.settings() == {"OTAO_MQTT_URL": "embedded", "OTAO_EMBEDDED_LISTEN": "127.0.0.1:4711"}


def test_mosquitto_listens_on_loopback_and_loses_nothing() -> None:
    lines = configuration(4711).splitlines()
    assert "listener 4711 127.0.0.1" in lines
    assert sum(line.startswith("listener") for line in lines) == 1
    assert {"persistence false", "max_queued_messages 1000000", "max_inflight_messages 2000"} <= set(lines)


async def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", await asyncio.to_thread(free_port)))
