"""What is subscribed to follows the applications, before a request that changes them is answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import httpx2
from fastapi import FastAPI
from structlog.testing import capture_logs

from orchestrator import coverages
from orchestrator.application.directory import Directory
from orchestrator.coverages import Coverage
from protocol.topics import Instances
from tests.contract.storages import APP, entry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from broker_bridge.links import MqttLink
    from protocol.links import Subscription

MARKER = "otao/v1/partition/p2/marker"


@dataclass
class Told:
    """A link that notes what it is to cover, and how often it was waited for."""

    told: list[list[str]] = field(default_factory=list)
    waits: int = 0
    hangs: bool = False

    def cover(self, subscriptions: Sequence[Subscription]) -> None:
        self.told.append([item.topic_filter for item in subscriptions])

    async def covered(self) -> None:
        self.waits += 1
        if self.hangs:
            await asyncio.Event().wait()


@dataclass
class Scene:
    directory: Directory = field(default_factory=lambda: Directory(complete=False))
    endpoints: Told = field(default_factory=Told)
    operators: Told = field(default_factory=Told)
    app: FastAPI = field(default_factory=FastAPI)

    def __post_init__(self) -> None:
        self.app.add_api_route("/x", self.change, methods=["GET", "PUT"])
        self.coverage = Coverage(
            app=self.app,
            directory=self.directory,
            instances=Instances(),
            partition="p2",
            endpoints=cast("MqttLink", self.endpoints),
            operators=cast("MqttLink", self.operators),
        )
        self.versions: tuple[str, ...] = ()

    async def change(self) -> None:
        if self.versions:
            self.directory.put(entry_of(replace(APP, key=1, app_versions=self.versions)))
        else:
            self.directory.remove(1)

    async def ask(self, method: str, *versions: str) -> int:
        self.versions = versions
        transport = httpx2.ASGITransport(app=self.coverage)
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
            return (await client.request(method, "/x")).status_code


def test_what_is_covered_is_what_the_applications_of_the_partition_need() -> None:
    directory = Directory([entry_of(replace(APP, key=1, app_versions=("b", "a")))])
    spoken = [item.topic_filter for item in coverages.of_endpoints(directory, Instances(), "p2")]
    requests = [f"kp1/{name}/{instance}/+/#" for name in ("a", "b") for instance in ("cmx_ota", "cmx", "epmx")]
    assert spoken == [MARKER, *requests]
    assert [item.topic_filter for item in coverages.of_operators(directory, "p2")] == ["otao/v1/kettle/control/#"]
    assert [item.topic_filter for item in coverages.of_operators(directory, "main")] == ["otao/v1/+/control/#"]


def test_what_a_partition_left_is_given_up_where_it_has_it_not_again() -> None:
    directory = Directory([entry_of(replace(APP, key=1, app_versions=("b",)))], complete=False)
    assert coverages.left(directory, Instances(), ["c", "b"]) == [
        f"kp1/c/{instance}/+/#" for instance in ("cmx_ota", "cmx", "epmx")
    ]


def test_commands_that_main_once_heard_by_an_application_s_name_are_given_up() -> None:
    directory = Directory([entry_of(replace(APP, key=1))], complete=False)
    kettle, toaster = (f"otao/v1/{name}/control/#" for name in ("kettle", "toaster"))
    assert coverages.left_of_operators(directory, "main", ["toaster", "kettle"]) == [kettle, toaster]
    assert coverages.left_of_operators(directory, "p2", ["toaster", "kettle"]) == [toaster]


async def test_a_request_that_changes_applications_is_answered_when_the_broker_knows() -> None:
    scene = Scene()
    assert await scene.ask("PUT", "v1") == 200
    assert scene.endpoints.told[-1][1] == "kp1/v1/cmx_ota/+/#"
    assert scene.operators.told == [["otao/v1/kettle/control/#"]]
    assert (scene.endpoints.waits, scene.operators.waits) == (1, 1)
    await scene.ask("GET", "v1", "v2")
    assert len(scene.endpoints.told) == 1
    await scene.ask("PUT")
    assert (scene.endpoints.told[-1], scene.operators.told[-1]) == ([MARKER], [])


async def test_a_broker_that_leaves_one_connection_unanswered_stops_neither_the_request_nor_the_other_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coverages, "ANSWER_SECONDS", 0.01)
    scene = Scene(endpoints=Told(hangs=True))
    with capture_logs() as logs:
        assert await scene.ask("PUT", "v1") == 200
    assert scene.operators.told == [["otao/v1/kettle/control/#"]]
    assert scene.operators.waits == 1
    assert [(entry["event"], entry["link"]) for entry in logs] == [("broker.not-covered", "endpoints")]
    await scene.ask("PUT", "v1")
    assert scene.endpoints.waits == 2, "whoever asks again waits again for what was not answered"
