"""Otao beside what can be had instead: goosebit and openmv-ota (HTTP, polled) and a plain script on MQTT.

Run: script/bench peers [-- --devices N --repetitions N --python PATH]. The same number of devices, the same work, one
after the other in each repetition: every device is told of a new version, then every device reports that it runs it.
- told: from the change until the last device has its offer; for those that are polled, until the last has asked;
- stored: from the first report until the last is committed.
The devices of the HTTP servers keep 16 connections open between them. Peers are installed by pip into
`bench/out/peers`, or are those of the Python that is named; one that does not start is left out, and said so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import _end_to_end as runs
from _services import ROOT, Mosquitto, credentials, serving, yardstick

from tests.brokers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

PACKAGES = ("goosebit==0.2.12", "openmv-ota[server]==1.0.7", "aiomqtt", "aiosqlite")
CONNECTIONS = 16
START_SECONDS = 120
Request = tuple[str, str, object]
"""Method, path and JSON body."""


class Told:
    """Seconds that the two halves took."""

    def __init__(self, told: float, stored: float) -> None:
        self.told, self.stored = told, stored


def python() -> str:
    """The Python of a virtual environment with the peers, made at its first use."""
    place = ROOT / "bench" / "out" / "peers"
    if not (place / "bin" / "peers-ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "-q", *PACKAGES], check=True)
        (place / "bin" / "peers-ready").touch()
    return str(place / "bin" / "python")


@asynccontextmanager
async def started(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A peer that has said that it is ready; ended afterwards."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await said(process, b"ready", START_SECONDS)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def said(process: asyncio.subprocess.Process, word: bytes, seconds: float) -> None:
    """Wait until it prints a word."""
    assert process.stdout is not None
    async with asyncio.timeout(seconds):
        while line := await process.stdout.readline():
            if line.strip() == word:
                return
    raise EOFError(word)


async def exchange(port: int, requests: list[Request], accept: Callable[[bytes], bool]) -> float:
    """Send these on a few connections that are kept; return the seconds that it took."""
    waiting = iter(requests)

    async def device() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for method, path, body in waiting:
            answer = await once(reader, writer, method, path, body)
            assert accept(answer), answer
        writer.close()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(device())
    return time.perf_counter() - begun


async def once(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, body: object
) -> bytes:
    """One request and its answer's body."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    answered = await reader.readuntil(b"\r\n\r\n")
    assert answered.split(b" ", 2)[1] == b"200", answered
    length = next(line for line in answered.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length.split(b":")[1]))


async def until_served(port: int) -> None:
    """Wait until somebody accepts connections."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def goosebit(interpreter: str, folder: Path, devices: int) -> Told:
    """A device polls, reads its deployment, and closes it with success."""
    port = free_port()
    environment = {
        "GOOSEBIT_DB_URI": f"sqlite://{folder}/goosebit-{port}.db",
        "GOOSEBIT_ARTIFACTS_DIR": str(folder),
        "GOOSEBIT_MAX_CONCURRENT_UPDATES": "1000000",
    }
    starter = str(ROOT / "bench" / "_peer_goosebit.py")
    base = "/DEFAULT/controller/v1/tok-{}"
    async with started(interpreter, starter, str(port), str(devices), **environment):
        await until_served(port)
        polls: list[Request] = [("GET", base.format(number), None) for number in range(devices)]
        reads: list[Request] = [("GET", f"{base.format(number)}/deploymentBase/1", None) for number in range(devices)]
        told = await exchange(port, polls, lambda answer: b"deploymentBase" in answer)
        told += await exchange(port, reads, lambda answer: b"chunks" in answer)
        closed = {"status": {"execution": "closed", "result": {"finished": "success"}}}
        reports: list[Request] = [
            ("POST", f"{base.format(number)}/deploymentBase/1/feedback", closed) for number in range(devices)
        ]
        return Told(told, await exchange(port, reports, lambda _: True))


async def openmv_ota(interpreter: str, folder: Path, devices: int) -> Told:
    """A device checks in with the old version, and then with the new one."""
    port = free_port()
    starter = str(ROOT / "bench" / "_peer_openmv_ota.py")

    def checks(version: int) -> list[Request]:
        body = {"product_id": 1, "board": "B", "payload_version": version, "confirmed": True}
        return [("POST", "/api/v1/check", {"device_id": f"tok-{number}", **body}) for number in range(devices)]

    async with started(interpreter, starter, str(port), str(folder / f"openmv-{port}.db")):
        await until_served(port)
        # Enrolled before, as the fleets of the others are.
        await exchange(port, checks(2), lambda answer: b'"update":false' in answer)
        told = await exchange(port, checks(1), lambda answer: b'"update":true' in answer)
        return Told(told, await exchange(port, checks(2), lambda answer: b'"update":false' in answer))


async def script(interpreter: str, folder: Path, devices: int) -> Told:
    """It publishes every offer, and stores every report, with a commit for each."""
    async with Mosquitto() as broker:
        known = credentials(broker)
        place = str(folder / f"script-{broker.port}.db")
        given = (known["MQTT_HOST"], known["MQTT_PORT"], known["MQTT_USER"], known["MQTT_PASSWORD"], place)
        starter = str(ROOT / "bench" / "_peer_script.py")
        async with started(interpreter, starter, *given, str(devices)) as process:
            assert process.stdin is not None
            begun = time.perf_counter()
            process.stdin.write(b"go\n")
            await said(process, b"offered", 600)
            told = time.perf_counter() - begun
            begun = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                group.create_task(report(broker, devices))
                await said(process, b"stored", 600)
            return Told(told, time.perf_counter() - begun)


async def otao(databases: runs.Databases, devices: int) -> Told:
    """A new software for all, and then every report; both until the last acknowledgement."""
    copy = databases.copy(devices, offered=False)
    async with copy as database, Mosquitto() as broker, serving(broker, database) as service:
        begun = time.perf_counter()
        await service.put(f"{runs.SOFTWARE}/1.1.0", runs.definition("1.0.0"))
        await service.until_pushed(devices)
        told = time.perf_counter() - begun
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(report(broker, devices))
            # Each report clears an offer, which is published after its commit.
            await service.until_pushed(2 * devices)
        return Told(told, time.perf_counter() - begun)


async def report(broker: Mosquitto, devices: int) -> None:
    """Every device reports the new version, from one C publisher."""
    await yardstick(broker, "reports", devices, runs.REPORT_TOPIC, runs.REPORT, runs.WINDOW)


async def measure(devices: int, repetitions: int, interpreter: str, folder: Path) -> dict[str, list[Told]]:
    """All of them in turns."""
    databases = runs.Databases(folder)
    kinds: dict[str, Callable[[], Awaitable[Told]]] = {
        "Otao": lambda: otao(databases, devices),
        "script: aiomqtt, aiosqlite": lambda: script(interpreter, folder, devices),
        "goosebit": lambda: goosebit(interpreter, folder, devices),
        "openmv-ota": lambda: openmv_ota(interpreter, folder, devices),
    }
    found: dict[str, list[Told]] = {}
    for _ in range(repetitions):
        for name, run in list(kinds.items()):
            try:
                told = await run()
            except (EOFError, OSError, TimeoutError) as error:
                print(f"{name}: left out, it did not start ({error!r})")
                del kinds[name]
                continue
            found.setdefault(name, []).append(told)
            print(f"{name}: told in {told.told:.2f} s, stored in {told.stored:.2f} s", flush=True)
    return found


def show(found: dict[str, list[Told]], devices: int) -> None:
    """Print a table, as Markdown; how far Otao is ahead is the median within the repetitions."""
    print("\n| | devices told/s | reports stored/s | devices updated/s | Otao is ahead by |\n|---|---|---|---|---|")
    for name, runs_of in found.items():
        rates = [devices / statistics.median(getattr(run, half) for run in runs_of) for half in ("told", "stored")]
        whole = devices / statistics.median(run.told + run.stored for run in runs_of)
        ahead = statistics.median(
            (run.told + run.stored) / (own.told + own.stored) for run, own in zip(runs_of, found["Otao"], strict=False)
        )
        print(f"| {name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {whole:,.0f} | {ahead:.1f} |")


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=2_000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--python", help="a Python that has the peers")
    flags = parser.parse_args()
    print(f"load: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="otao-bench-") as folder:
        interpreter = flags.python or python()
        found = asyncio.run(measure(flags.devices, flags.repetitions, interpreter, Path(folder)))
    show(found, flags.devices)
    print(f"load: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
