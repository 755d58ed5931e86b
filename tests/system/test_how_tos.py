"""What the how-tos and tutorials tell a reader to type is typed here, in their order, against a real service.

Rules:
- Each ```sh block is run by one shell that ends at the first command that fails, in an empty folder.
- A ```text block right after one is what that block has printed; `…` stands for anything.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.brokers import ROOT, Mosquitto, free_port
from tests.services import SECONDS, Service

DOCUMENTS = sorted(path for folder in ("how-to", "tutorials") for path in (ROOT / "docs" / folder).glob("*.md"))
FENCE = re.compile(r"^```(?P<kind>\w+)[^\n]*\n(?P<text>.*?)^```\s*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What the reader types, and what it shall print, if the page says so."""

    typed: str
    printed: str | None


def blocks(document: Path) -> list[Block]:
    page = document.read_text()
    found = list(FENCE.finditer(page))
    return [
        Block(typed=match["text"], printed=_printed(page, match, after))
        for match, after in zip_longest(found, found[1:])
        if match["kind"] == "sh"
    ]


def _printed(page: str, match: re.Match[str], after: re.Match[str] | None) -> str | None:
    if after is None or after["kind"] != "text" or page[match.end() : after.start()].strip():
        return None
    return after["text"]


def prints(expected: str, printed: str) -> bool:
    """Whether each expected line is among the printed ones."""
    patterns = [".*".join(re.escape(part) for part in line.split("…")) for line in expected.splitlines()]
    return all(any(re.fullmatch(pattern, line) for line in printed.splitlines()) for pattern in patterns)


def environment(broker: Mosquitto, service: Service) -> dict[str, str]:
    commands = Path(sys.executable).parent
    return {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(ROOT),
        "OTAO_SERVER": service.url,
        "BROKER": broker.url(),
        "MQTT": f"-h 127.0.0.1 -p {broker.port}",
        "IMAGES_PORT": str(free_port()),
    }


async def typed(block: Block, folder: Path, env: dict[str, str]) -> str:
    """Run one block; return what it has printed."""
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        block.typed,
        cwd=folder,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(shell.communicate(), 3 * SECONDS)
    assert shell.returncode == 0, f"exit code {shell.returncode}:\n{block.typed}\n{output.decode()}"
    return output.decode()


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if blocks(path)], ids=lambda path: path.stem)
async def test_the_page_works_as_it_is_typed(document: Path, tmp_path: Path) -> None:
    steps = blocks(document)
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        env = environment(broker, service)
        for step in steps:
            printed = await typed(step, tmp_path, env)
            if step.printed is not None:
                assert prints(step.printed, printed), f"{step.typed}\nprinted:\n{printed}"


def test_every_kind_of_page_is_there_and_has_something_to_type() -> None:
    names = {path.stem for path in DOCUMENTS}
    assert {
        "define-and-publish",
        "targets",
        "consent",
        "canary",
        "pause-and-resume",
        "emergency-recall",
        "maintenance-window",
        "offline-fleets",
        "gateways",
        "kaa-devices",
        "tls",
        "first-device",
    } <= names
    assert sum(len(blocks(path)) for path in DOCUMENTS) >= 12


async def test_the_certificates_of_the_tls_page_carry_the_service(tmp_path: Path) -> None:
    steps = blocks(ROOT / "docs" / "how-to" / "tls.md")
    env = {"PATH": os.environ["PATH"]}
    await typed(steps[0], tmp_path, env)
    tls = tmp_path / "broker.pem", tmp_path / "broker.key"
    async with Mosquitto(anonymous=True, tls=tls) as broker:
        given = {"OTAO_MQTT_URL": f"mqtts://localhost:{broker.tls_port}", "OTAO_MQTT_CA_FILE": str(tmp_path / "ca.pem")}
        async with Service(broker, template=None, **given) as service:
            assert (await service.get("/applications"))["items"] == []
