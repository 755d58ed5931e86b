"""Rollouts that contradict themselves are refused at the member that has to change, and a file with one as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
import yaml

from tests.brokers import Mosquitto
from tests.services import Service
from tests.system.commands import otao

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

CATALOGUE = """\
application: kettle
appVersions: [kettle-v1]
filters: {lab: attributes.ring == 1}
software:
  - {version: 1.0.0, rolloutStrategy: suspended}
  - version: 1.1.0
    upgradableFrom: [1.0.0]
    rolloutStrategy: general
    specification: {link: "https://firmware.example/1.1.0.bin"}
    rollout: ROLLOUT
  - {version: 1.2.0, rolloutStrategy: suspended}
"""
NIGHT = 'cron: "0 1 * * *", duration: PT4H'
CONTRADICTIONS = [
    ("{stages: [{percent: 20}, {percent: 10}]}", "stages[1].percent", "must be above the 20 of stage 1"),
    ("{stages: [{percent: 5, soak: P2D}]}", "stages[0].soak", "is longer than deadline.installing, P1D"),
    ("{stages: [{percent: 5, maxFailureRate: 0}]}", "stages[0].maxFailureRate", "add minAttempted"),
    ("{stages: [{percent: 5, soak: -PT1H}]}", "stages[0].soak", "must not be negative"),
    ('{window: {cron: "0 1 31 2 *", duration: PT4H}}', "window.cron", "never"),
    ('{window: {cron: "at night", duration: PT4H}}', "window.cron", "at night"),
    ('{window: {cron: "0 1 * * *", duration: PT0S}}', "window.duration", "must be longer than zero"),
    (f"{{window: {{{NIGHT}, timeZone: M4rs/Base}}}}", "window.timeZone", "M4rs/Base"),
    (
        '{window: {cron: "0 1 1 1 *", duration: PT1H}, start: 2026-12-01T00:00:00Z, end: 2026-12-02T00:00:00Z}',
        "rollout.window",
        "does not open from start",
    ),
    ("{limits: {perMinute: 0}}", "limits.perMinute", "must be 1 to 1,000,000,000: leave it out for no limit"),
    ("{stages: [{percent: 0}]}", "stages[0].percent", "must be above 0 and at most 100: 5 % is 5"),
    ("{stages: [{percent: 120}]}", "stages[0].percent", "must be above 0 and at most 100: 5 % is 5"),
    ("{stages: [{count: 0}]}", "stages[0].count", "must be 1 to 10,000: of more endpoints give a percent"),
    ("{onFailure: stop}", "onFailure", "must be 'pause', 'abort' or 'revert'"),
    ("{limits: {claim: -PT1M}}", "limits.claim", "must not be negative"),
    ("{start: 2026-12-02T08:00:00Z, end: 2026-12-01T08:00:00Z}", "end", "must lie after start"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[Service]:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as started:
        yield started


@pytest.mark.parametrize(("rollout", "member", "sentence"), CONTRADICTIONS)
async def test_a_file_with_a_contradiction_is_refused_at_its_line_and_nothing_of_it_is_stored(
    service: Service, tmp_path: Path, rollout: str, member: str, sentence: str
) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE.replace("ROLLOUT", rollout))
    ended = await otao(service, "apply", "-f", str(file))
    assert (ended.exit_code, ended.out) == (2, "")
    complaint = ended.err.splitlines()[0]
    # The tenth line is that of the rollout.
    assert complaint.startswith(f"{file}:10:"), ended.err
    assert member in complaint
    assert sentence in complaint
    assert (await service.get("/applications"))["items"] == []


async def test_what_contradicts_itself_changes_nothing_of_what_is_there(service: Service, tmp_path: Path) -> None:
    """Several of them: the first that is found is told, the good software before and after it is not stored."""
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE.replace("ROLLOUT", "{stages: [{filter: lab}, {percent: 100}]}"))
    assert (await otao(service, "apply", "-f", str(file))).exit_code == 0
    before = await service.get("/applications/kettle/software")
    wrong = yaml.safe_load(CATALOGUE.replace("ROLLOUT", CONTRADICTIONS[0][0]))
    wrong["software"][0]["rolloutStrategy"] = wrong["software"][2]["rolloutStrategy"] = "general"
    wrong["filters"]["lab"] = "attributes.ring == 2"
    file.write_text(yaml.safe_dump(wrong))
    assert (await otao(service, "apply", "-f", str(file))).exit_code == 2
    assert await service.get("/applications/kettle/software") == before
    filters = (await service.get("/applications/kettle/filters"))["items"]
    assert [item["expression"] for item in filters] == ["attributes.ring == 1"]
