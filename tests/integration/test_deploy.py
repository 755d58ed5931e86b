"""The units by systemd's own word, and a broker with the two configuration files that its container has."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.brokers import ROOT, Mosquitto, free_port

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = ROOT / "deploy"
UNITS = ("otao.service", "otao-backup.service", "otao-backup.timer")
EXPOSED_AT_MOST = 15
"""In tenths, of ten points: what systemd calls OK goes to 50."""


def verified(name: str, folder: Path, *, wrong: tuple[str, str] = ("", "")) -> str:
    """What systemd has against a unit, of which a part may be replaced; a misspelt name is only a warning to it."""
    for unit in UNITS:
        # The command is not installed where this is tested.
        (folder / unit).write_text((DEPLOY / unit).read_text().replace("/opt/otao/bin/otao serve", "/bin/true"))
    (folder / name).write_text((folder / name).read_text().replace(*wrong))
    command = ["systemd-analyze", "verify", "--man=no", str(folder / name)]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=60).stderr


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_against_the_unit(name: str, tmp_path: Path) -> None:
    assert verified(name, tmp_path) == ""


def test_systemd_finds_what_is_misspelt(tmp_path: Path) -> None:
    assert "ProtectHouse" in verified("otao.service", tmp_path, wrong=("ProtectHome", "ProtectHouse"))


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_systemd_finds_the_service_well_confined(name: str) -> None:
    threshold = f"--threshold={EXPOSED_AT_MOST}"
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", threshold, str(DEPLOY / name)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_makes_the_user_of_the_unit() -> None:
    command = ["systemd-sysusers", "--dry-run", str(DEPLOY / "otao.sysusers")]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    assert re.search(r"^User=otao$", (DEPLOY / "otao.service").read_text(), re.MULTILINE)
    assert "ignoring" not in done.stderr


class Contained(Mosquitto):
    """A broker that is configured as its container is: a file of its own, which includes the repository's."""

    inner = 0

    def _configuration(self) -> str:
        self.inner = free_port()
        (self.folder / "conf.d").mkdir()
        included = self.folder / "conf.d" / "otao.conf"
        included.write_text(super()._configuration())
        own = (DEPLOY / "compose" / "mosquitto.conf").read_text()
        own = own.replace("/etc/mosquitto/conf.d", str(included.parent))
        return own.replace("listener 1884\n", f"listener {self.inner} 127.0.0.1\n")

    def _own(self, path: Path) -> None:
        for each in (path, *path.glob("conf.d/*")):
            super()._own(each)


def accepted(port: int, *credentials: str) -> bool:
    """Whether a report is taken; of a refusal mosquitto_pub only warns."""
    command = [
        "mosquitto_pub",
        "-V",
        "5",
        "-p",
        str(port),
        "-q",
        "1",
        "-t",
        "kp1/v/cmx_ota/tok/applied/json",
        "-m",
        "{}",
    ]
    done = subprocess.run([*command, *credentials], capture_output=True, check=False, timeout=15)
    return done.returncode == 0 and done.stderr == b""


async def test_the_containers_broker_asks_for_passwords_and_keeps_the_rules_on_either_listener() -> None:
    async with Contained(tokens=["tok"]) as broker:
        for port in (broker.port, broker.inner):
            assert accepted(port, "-u", "tok", "-P", "kot")
            assert not accepted(port)
            assert not accepted(port, "-u", "tok", "-P", "wrong")
            assert not accepted(port, "-u", "operators", "-P", "operators"[::-1])
