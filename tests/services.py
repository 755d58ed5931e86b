"""Starts a real service on a real broker, and speaks to both as operators and endpoints do.

Rules:
- Loopback only, ports from the operating system, a database of its own; only the process started here is signalled.
- Waiting is on a condition with a deadline.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiomqtt
import httpx2

from tests import databases
from tests.brokers import ROOT, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SECONDS = 20.0
PROCESS_SECONDS = 60.0
"""In which a process begins or ends: beside other work that takes much longer than the two seconds on an idle core."""
STOP_SECONDS = 5.0
"""In which a service ends after SIGTERM, whatever else there is to do."""
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Of HTTP without TLS: a client that reads the machine's certificates takes 30 ms to make."""


SOFTWARE = re.compile("/applications/(?P<application>[^/]+)/software/(?P<version>[^/]+)")


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = SECONDS) -> None:
    """Return as soon as the condition holds; fail with `what` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


class Service:
    """One `otao serve`, with its database; use it as an asynchronous context manager.

    Args:
        broker: the broker that it connects to as user `otao`.
        template: a database to start from, copied; then the service is not started on entry.
        environment: more settings, `OTAO_*`.
    """

    program: tuple[str, ...] = ("-m", "tests.launcher")
    """What Python runs."""

    def __init__(self, broker: Mosquitto, *, template: Path | None = None, **environment: str) -> None:
        self.broker = broker
        self.folder = Path(tempfile.mkdtemp(prefix="otao-service-"))
        self.database = databases.place_in(self.folder)
        self.environment = dict(environment)
        self.url = ""
        self._logged_at_start = ""
        self._template = template
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        if self._template is not None:
            await databases.copy(self._template, self.database)
        else:
            await self.start()
            await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self.kill()
        await databases.drop(databases.place_in(self.folder))
        shutil.rmtree(self.folder)

    async def start(self, **environment: str) -> None:
        """Start on the same database; `environment` holds for this run only."""
        given = {
            "OTAO_MQTT_URL": self.broker.url(),
            "OTAO_DATABASE_URL": await databases.address(self.database),
            "OTAO_HTTP_LISTEN": "127.0.0.1:0",
        }
        path = self.folder / "log"
        self._logged_at_start = path.read_text() if path.exists() else ""
        with path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.program,
                cwd=ROOT,
                env=os.environ | given | self.environment | environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PROCESS_SECONDS)
        if line:
            word, self.url = line.decode().split()
            assert word == "ready"

    async def ready(self) -> None:
        """Wait until the broker holds what the database says."""

        async def is_ready() -> bool:
            async with self.client() as client:
                return (await client.get("/readyz")).status_code == 200

        await eventually(is_ready, f"ready; its log:\n{self.log()}")

    async def subscribed(self) -> None:
        """Wait until the broker has a session of ours; the process may have ended since."""
        before = len(self._logged_at_start)

        async def connected() -> bool:
            return "broker.connected" in self.log()[before:]

        await eventually(connected, f"connected; its log:\n{self.log()}")

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def memory_mib(self, kind: str = "VmRSS") -> float:
        """Resident memory of the running process, MiB; `VmHWM` is the most that it ever was."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(kind)) / 1024

    def log(self) -> str:
        """What the service has logged."""
        return (self.folder / "log").read_text()

    async def kill(self) -> None:
        """SIGKILL."""
        await self._stop(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        return await self._stop(signal.SIGTERM)

    async def died(self) -> int:
        """Wait until the process has ended by itself; return its exit code."""
        assert self._process is not None
        code = await asyncio.wait_for(self._process.wait(), PROCESS_SECONDS)
        self._process = None
        return code

    async def _stop(self, number: signal.Signals) -> int:
        process = self._process
        assert process is not None
        if process.returncode is None:
            process.send_signal(number)
        code = await asyncio.wait_for(process.wait(), SECONDS)
        self._process = None
        return code

    def client(self) -> httpx2.AsyncClient:
        """An HTTP client of this service."""
        return httpx2.AsyncClient(base_url=self.url, timeout=SECONDS, trust_env=False, verify=NO_CERTIFICATES)

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """A JSON document below `/api/v1`."""
        async with self.client() as client:
            response = await client.get(f"/api/v1{path}")
        assert response.status_code == 200, response.text
        return response.json()

    async def put(self, path: str, body: object, *, method: str = "PUT") -> Any:  # noqa: ANN401 - JSON
        """Create or replace; return the document. An ETag that is there is honoured."""
        async with self.client() as client:
            headers = {}
            if method in {"PUT", "PATCH", "DELETE"}:
                present = await client.get(f"/api/v1{path}")
                if present.status_code == 200:
                    headers["If-Match"] = present.headers["etag"]
            response = await client.request(method, f"/api/v1{path}", json=body, headers=headers)
        assert response.status_code in {200, 201, 202, 204}, response.text
        document = response.json() if response.content else None
        if match := SOFTWARE.fullmatch(path):
            self.broker.specifications[match["application"], match["version"]] = document and document["specification"]
        return document

    async def metric(self, name: str) -> float:
        """A metric by its full name and labels; 0 when it is not there."""
        async with self.client() as client:
            text = (await client.get("/metrics")).text
        found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    async def define(self, application: str = "kettle", *, open_registration: bool = True, **members: object) -> None:
        """An application with 1.0.0, 1.1.0 from 1.0.0, and 2.0.0 from 1.1.0."""
        body = {"appVersions": [f"{application}-v1"], "registration": "open" if open_registration else "closed"}
        await self.put(f"/applications/{application}", body | members)
        for version, sources in (("1.0.0", []), ("1.1.0", ["1.0.0"]), ("2.0.0", ["1.1.0"])):
            await self.software(version, sources, application=application)

    async def software(
        self, version: str, sources: list[str], *, application: str = "kettle", **members: object
    ) -> Any:  # noqa: ANN401 - JSON
        """A general software whose specification links to an image."""
        body = {
            "upgradableFrom": sources,
            "rolloutStrategy": "general",
            "filters": [],
            "specification": specification(version),
        }
        return await self.put(f"/applications/{application}/software/{version}", body | members)

    async def endpoint(self, endpoint_id: str, *, application: str = "kettle") -> Any:  # noqa: ANN401 - JSON
        """An endpoint's document."""
        return await self.get(f"/applications/{application}/endpoints/{endpoint_id}")

    async def history(self, endpoint_id: str, *, application: str = "kettle") -> list[tuple[str, str | None]]:
        """Kinds and versions of an endpoint's history, oldest first."""
        document = await self.get(f"/applications/{application}/endpoints/{endpoint_id}/history?limit=500")
        return [(item["kind"], item["version"]) for item in reversed(document["items"])]

    async def until_running(self, endpoint_id: str, version: str, *, application: str = "kettle") -> None:
        """Wait until an endpoint is known to run a version."""

        async def runs() -> bool:
            async with self.client() as client:
                response = await client.get(f"/api/v1/applications/{application}/endpoints/{endpoint_id}")
            return response.status_code == 200 and response.json()["runningVersion"] == version

        await eventually(runs, f"{endpoint_id} runs {version}")

    async def until_offered(self, endpoint_id: str, version: str | None, *, application: str = "kettle") -> None:
        """Wait until an endpoint is offered a version, or nothing (None)."""

        async def offered() -> bool:
            async with self.client() as client:
                response = await client.get(f"/api/v1/applications/{application}/endpoints/{endpoint_id}")
            if response.status_code != 200:
                return False
            offer = response.json()["offer"]
            return (None if offer is None else offer["version"]) == version

        await eventually(offered, f"{endpoint_id} is offered {version}")


async def stop(service: Service) -> None:
    """Have it end as an operator does, and hold it to its time."""
    begun = time.monotonic()
    code = await service.terminate()
    took = time.monotonic() - begun
    assert code == 0, service.log()
    assert took < STOP_SECONDS, f"{took:.1f} s; its log:\n{service.log()}"


def specification(version: str) -> dict[str, str]:
    """What software has that says nothing else."""
    return {"link": f"https://firmware.example/{version}.bin"}


def topic(token: str, resource: str, *, app_version: str = "kettle-v1", instance: str = "cmx_ota") -> str:
    """A topic of an endpoint."""
    return f"kp1/{app_version}/{instance}/{token}/{resource}"


def connect(broker: Mosquitto, user: str, *, protocol: int = 5, client_id: str | None = None) -> aiomqtt.Client:
    """An MQTT client of the broker, as one of its users."""
    return aiomqtt.Client(
        "127.0.0.1",
        broker.port,
        username=user,
        password=user[::-1],
        protocol=aiomqtt.ProtocolVersion(protocol),
        identifier=client_id,
    )


async def report(
    broker: Mosquitto, token: str, version: str, *, qos: int = 1, request_id: str = "", **members: object
) -> None:
    """One report of an endpoint, on a connection of its own."""
    async with connect(broker, token) as client:
        resource = f"applied/json/{request_id}" if request_id else "applied/json"
        await client.publish(topic(token, resource), json.dumps({"configId": version} | members), qos=qos)


async def retained(
    broker: Mosquitto, *, app_version: str = "kettle-v1", resource: str = "config/json"
) -> dict[str, str]:
    """What the broker retains on push topics: token → version that is offered, or asked for.

    An offer that is not what its software's specification makes of it is told whole in place of its version.
    """
    found: dict[str, str] = {}
    probe = f"otao/v1/partition/probe/{time.monotonic_ns()}"
    async with connect(broker, "otao") as client:
        await client.subscribe(topic("+", f"{resource}/status", app_version=app_version), qos=1)
        await client.subscribe(probe, qos=1)
        await client.publish(probe, b"end", qos=1)
        async for message in client.messages:
            if str(message.topic) == probe:
                return found
            if message.retain and message.payload:
                _, of_application, _, token, *_ = str(message.topic).split("/")
                assert isinstance(message.payload, bytes)
                document = json.loads(message.payload)
                version = document["configId"]
                sound = resource != "config/json" or document == offer(broker, of_application, version)
                found[token] = version if sound else message.payload.decode()
    raise AssertionError(probe)


def offer(broker: Mosquitto, app_version: str, version: str) -> Any:  # noqa: ANN401 - JSON
    """The offer of a version as the broker should retain it, whoever it is for."""
    application = app_version.removesuffix("-v1").removesuffix("-v2")
    config = broker.specifications.get((application, version), specification(version))
    return {"configId": version, "statusCode": 200, "reasonPhrase": "OK", "config": config}


async def until_retained(
    broker: Mosquitto, expected: dict[str, str], *, app_version: str = "kettle-v1", resource: str = "config/json"
) -> None:
    """Wait until the broker retains exactly these offers, or asks."""
    last: dict[str, str] = {}

    async def same() -> bool:
        last.clear()
        last.update(await retained(broker, app_version=app_version, resource=resource))
        return last == expected

    try:
        await eventually(same, f"retained {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {last}") from error


async def until_sentinel(broker: Mosquitto, revision: int) -> None:
    """Wait until the broker has been told that it holds every push up to a revision."""
    async with connect(broker, "otao") as client:
        await client.subscribe("otao/v1/partition/main/sentinel", qos=1)
        async with asyncio.timeout(SECONDS):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                if json.loads(message.payload)["revision"] >= revision:
                    return
