"""An operator who publishes, pauses, recalls and freezes, over REST, whatever else goes on.

Rules:
- A call that fails is not repeated: what it may have done all the same stays done, as with people.
- At the end everything that was stopped goes on, and a last version is published: there shall be offers to compare.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2

from bench.chaos.fleets import app_version_of
from tests.services import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services import Service

STAGES = [{"percent": 20, "soak": "PT2S", "minAttempted": 8, "maxFailureRate": 0.2}, {"percent": 100, "soak": "PT1S"}]
FINAL_SECONDS = 60.0
MOVES = {"publish": 40, "pause": 15, "resume": 20, "recall": 10, "abort": 5, "freeze": 5, "thaw": 5}
"""How often it does what, out of 100."""


@dataclass(slots=True, kw_only=True)
class Operator:
    """One operator; `run` until cancelled, then `finish`."""

    application: str
    reach: Callable[[], Service]
    """Gives whom to ask."""
    seed: int
    tell: Callable[[str], None]
    answers: Counter[str] = field(default_factory=Counter)
    """How calls ended: a status, or the client's error."""
    versions: list[str] = field(default_factory=lambda: ["1.0.0"])
    """That may be there, in order."""
    recalled: set[str] = field(default_factory=set)
    _last: int = 0

    async def begin(self) -> None:
        """Make the application, and what the fleet runs."""
        application = {"appVersions": [app_version_of(self.application)], "registration": "open"}
        await self._surely("PUT", "", application)
        await self._surely("PUT", "/software/1.0.0", _software([]))
        await eventually(lambda: self.publish(None), "a first version is published", FINAL_SECONDS)

    async def run(self) -> None:
        """Do something every few seconds."""
        chance = random.Random(f"{self.seed}/{self.application}/operator")
        while True:
            await asyncio.sleep(chance.uniform(2.0, 8.0))
            move = chance.choices(list(MOVES), list(MOVES.values()))[0]
            stages = chance.choice([None, STAGES])
            await self._move(move, stages)

    async def finish(self) -> None:
        """Let everything go on, and publish once more."""
        await self._surely("DELETE", "/freeze")
        newest = self.versions[-1]
        await self._call("POST", f"/software/{newest}/rollout/resume", {})
        await eventually(lambda: self.publish(None), "a last version is published", FINAL_SECONDS)

    async def publish(self, stages: list[dict[str, object]] | None) -> bool:
        """Publish the next version, for everybody; return whether that was answered well."""
        self._last += 1
        version = f"1.0.{self._last}"
        self.versions.append(version)
        body = _software([f">=1.0.0 <{version}"], stages)
        return await self._call("PUT", f"/software/{version}", body)

    async def _move(self, move: str, stages: list[dict[str, object]] | None) -> None:
        newest = self.versions[-1]
        match move:
            case "publish":
                await self.publish(stages)
            case "pause" | "resume" | "abort":
                await self._call("POST", f"/software/{newest}/rollout/{move}", {})
            case "recall":
                await self._recall(newest)
            case "freeze":
                await self._call("POST", "/freeze", {"reason": "chaos"})
            case _:
                await self._call("DELETE", "/freeze")

    async def _recall(self, version: str) -> None:
        """Recall it, with a way back to the last one that was not recalled."""
        if version == "1.0.0" or version in self.recalled:
            return
        self.recalled.add(version)
        good = [each for each in self.versions if each not in self.recalled]
        poison = [each for each in self.versions if each in self.recalled]
        number = int(good[-1].rpartition(".")[2])
        sources = [f">=1.0.0 <{good[-1]}"] if number else []
        higher = [each for each in poison if int(each.rpartition(".")[2]) > number]
        await self._call("PATCH", f"/software/{good[-1]}", {"upgradableFrom": [*sources, *higher]})
        await self._call("POST", f"/software/{version}/recall", {})

    async def _surely(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        await eventually(lambda: self._call(method, path, body), f"{method} {path} is answered well", FINAL_SECONDS)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bool:
        name, headers = self.application, {"If-Match": "*"} if method == "PATCH" else {}
        try:
            async with self.reach().client() as client:
                response = await client.request(
                    method, f"/api/v1/applications/{name}{path}", json=body, headers=headers
                )
        except httpx2.HTTPError as error:
            answer, well = type(error).__name__, False
        else:
            answer, well = str(response.status_code), response.is_success
        self.answers[answer] += 1
        self.tell(f"operator of {name}: {method} {path or '/'} → {answer}")
        return well


def _software(sources: list[str], stages: list[dict[str, object]] | None = None) -> dict[str, Any]:
    rollout = {} if stages is None else {"rollout": {"stages": stages}}
    specification = {"link": "https://firmware.example/kettle.bin", "sha256": "ab" * 32, "notes": "n" * 150}
    return {"upgradableFrom": sources, "rolloutStrategy": "general", "specification": specification, **rollout}
