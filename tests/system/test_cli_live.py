"""The command line against a real service: files applied and planned, the live stream, drawings, bulk import."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.brokers import ROOT, Mosquitto
from tests.services import SECONDS, Service, report
from tests.system.commands import otao, otao_on_terminal, surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CATALOGUE = """\
application: kettle
appVersions: [kettle-v1]
registration: open
filters:
  canary: attributes.ring == 1
software:
  - version: 1.0.0
    rolloutStrategy: suspended
  - version: 1.1.0
    upgradableFrom: [1.0.0]
    rolloutStrategy: general
    specification: {link: "https://user:hidden@example.com/fw.bin"}
"""


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    async with Mosquitto(tokens=["tok7"]) as broker, Service(broker) as started:
        yield started


def rewrite(file: Path, old: str, new: str) -> None:
    """Write the catalogue with a change."""
    assert old in CATALOGUE
    file.write_text(CATALOGUE.replace(old, new, 1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.yaml"
    path.write_text(CATALOGUE)
    return path


async def test_a_catalogue_is_rehearsed_applied_and_applied_again(service: Service, file: Path) -> None:
    rehearsed = await otao(service, "apply", "-f", str(file), "--dry-run")
    assert (rehearsed.exit_code, rehearsed.err) == (0, "")
    assert "nothing is stored; it would be: 4 created" in rehearsed.out
    assert "0 endpoints; none of them would move" in rehearsed.out
    assert (await service.get("/applications"))["items"] == []

    applied = await otao(service, "apply", "-f", str(file), "--reason", "first")
    assert (applied.exit_code, applied.out.splitlines()[-1]) == (0, "4 created")
    assert {"software/1.0.0", "software/1.1.0", "filters/canary"} <= {row[-1] for row in applied.rows}
    entries = (await service.get("/applications/kettle/audit"))["items"]
    assert {entry["reason"] for entry in entries} == {"first"}

    again = await otao(service, "apply", "-f", str(file))
    assert (again.exit_code, again.out.splitlines()[-1]) == (0, "nothing changed")
    assert (await service.get("/applications/kettle/audit"))["items"] == entries
    from_input = await otao(service, "apply", "-f", "-", given=CATALOGUE.encode())
    assert from_input.out == again.out


@pytest.mark.parametrize(
    ("old", "new", "place", "code"),
    [
        ("[1.0.0]", "[1.0.0, nonsense]", "10:29", "invalid-constraint"),
        ("rolloutStrategy: general", "rolloutStrategy: everybody", "11:22", "member-invalid"),
        ("attributes.ring == 1", "attributes.ring ==", "5:11", "filter-syntax"),
        ("version: 1.0.0", "version: 1.0.0.0", "7:14", "invalid-version"),
        (
            "rolloutStrategy: general",
            "rolloutStrategy: targeted\n    filters: [{filterId: gone}]",
            "12:26",
            "filter-unknown",
        ),
        ("    rolloutStrategy: general", "    rolloutStratgy: general", "11:5", "did you mean rolloutStrategy"),
        ("version: 1.0.0", "version: 1.0", "7:14", "quote it"),
    ],
)
async def test_what_is_wrong_in_a_file_has_its_line_and_changes_nothing(
    service: Service, file: Path, old: str, new: str, place: str, code: str
) -> None:
    rewrite(file, old, new)
    ended = await otao(service, "apply", "-f", str(file))
    assert (ended.exit_code, ended.out) == (2, "")
    first = ended.err.splitlines()[0]
    assert first.startswith(f"{file}:{place}: "), ended.err
    assert code in first
    assert (await service.get("/applications"))["items"] == []


async def test_a_frozen_specification_is_refused_at_its_software(service: Service, file: Path) -> None:
    await otao(service, "apply", "-f", str(file))
    await report(service.broker, "tok7", "1.0.0")
    await service.until_offered("tok7", "1.1.0")
    rewrite(file, "fw.bin", "other.bin")
    ended = await otao(service, "apply", "-f", str(file))
    assert ended.exit_code == 2
    assert "specification-frozen" in ended.err
    assert "hidden" not in ended.err


async def test_a_plan_counts_the_hops(service: Service, file: Path, tmp_path: Path) -> None:
    await otao(service, "apply", "-f", str(file))
    await report(service.broker, "tok7", "1.0.0")
    await service.until_running("tok7", "1.0.0")
    candidate = tmp_path / "software.yaml"
    candidate.write_text(
        "version: 2.0.0\nupgradableFrom: [^1.1.0]\nrolloutStrategy: general\nspecification: {link: x}\n"
    )
    planned = await otao(service, "plan", "-f", str(candidate))
    assert planned.exit_code == 0
    assert "1.0.0\t1.1.0\t1" in planned.out
    assert "1.1.0\t2.0.0\t1" in planned.out
    assert "2.0.0" not in json.dumps(await service.get("/applications/kettle/software"))


@asynccontextmanager
async def watching(service: Service, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`otao watch` in a pipe; ended by SIGINT, as Ctrl-C does."""
    # A shell that runs the tests in the background has them ignore SIGINT, and what they start as well.
    process = await asyncio.create_subprocess_exec(
        *("env", "--default-signal=INT", sys.executable, "-m", "orchestrator.cli", "watch", *words),
        cwd=ROOT,
        env=surroundings(service),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 0


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    """The next line that holds a text."""
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        async for line in process.stdout:
            if text in line.decode():
                return line.decode().rstrip("\n")
    raise AssertionError(text)


async def test_watch_tells_what_happens_and_survives_a_restart(service: Service, file: Path) -> None:
    await otao(service, "apply", "-f", str(file))
    async with watching(service) as process:
        assert "endpoints=0" in await line_with(process, "\tsummary\t")
        await report(service.broker, "tok7", "1.0.0")
        offered = await line_with(process, "endpoint.offered")
        assert offered.split("\t")[1:3] == ["endpoint.offered", "endpoints/tok7"]
        address = service.url.removeprefix("http://")
        await service.terminate()
        await service.start(OTAO_HTTP_LISTEN=address)
        await service.ready()
        await report(service.broker, "tok7", "1.1.0")
        assert "version=1.1.0" in await line_with(process, "endpoint.confirmed")
        assert "hidden" not in offered


async def test_watch_prints_the_servers_events(service: Service, file: Path) -> None:
    await otao(service, "apply", "-f", str(file))
    async with watching(service, "--json", "--types", "summary") as process:
        event = json.loads(await line_with(process, "summary"))
        assert (event["specversion"], event["data"]["endpoints"]) == ("1.0", 0)


async def test_watch_on_a_terminal_ends_with_its_application(service: Service, file: Path) -> None:
    await otao(service, "apply", "-f", str(file))

    async def delete() -> None:
        assert (await otao(service, "application", "delete", "kettle")).exit_code == 0

    ended = await otao_on_terminal(service, "watch", when="kettle: 0 endpoints", then=delete)
    assert ended.exit_code == 0
    assert "application.delete" in ended.out


async def test_the_graph_is_drawn(service: Service, file: Path, tmp_path: Path) -> None:
    await otao(service, "apply", "-f", str(file))
    text = await otao(service, "graph")
    assert "1.1.0" in text.out
    assert (await otao(service, "graph", "--format", "dot")).out.startswith("digraph")
    drawing = tmp_path / "graph.svg"
    assert (await otao(service, "graph", "-o", str(drawing))).exit_code == 0
    assert drawing.read_text().lstrip().startswith("<svg")
    assert len(json.loads((await otao(service, "graph", "--json")).out)["versions"]) == 2
