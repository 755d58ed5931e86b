"""How the demonstration came out: the versions before and after, what failed, and why one endpoint does not update.

Rules:
- What is shown of endpoints is what REST says of them.

Layer: cli.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.documents import items, number, section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.cli.documents import Document

COLUMNS = ("version", "before", "after the canary", "at the end")
TROUBLES = ("endpoint", "runs", "problem", "why")
_MOST_TROUBLES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a demonstration."""

    converged: bool
    """Whether every healthy device runs the newest version."""
    seconds: float
    broker: str
    devices: int
    healthy: int
    arrived: int
    """Healthy devices that run `goal`."""
    goal: str
    before: Mapping[str, int]
    """Endpoints by version."""
    canary: Mapping[str, int]
    after: Mapping[str, int]
    failures: Sequence[Document]
    attention: Sequence[Document]
    """Endpoints in trouble, the worst first."""
    explanation: Document
    """Of the worst that does not run `goal`; empty when there is none."""

    def members(self) -> dict[str, object]:
        """The same for JSON, names in camel case."""
        return {
            "converged": self.converged,
            "seconds": round(self.seconds, 1),
            "broker": self.broker,
            "devices": self.devices,
            "healthy": self.healthy,
            "arrived": self.arrived,
            "goal": self.goal,
            "before": dict(self.before),
            "afterCanary": dict(self.canary),
            "after": dict(self.after),
            "failures": list(self.failures),
            "attention": list(self.attention),
            "explanation": self.explanation or None,
        }

    def versions(self) -> list[tuple[object, ...]]:
        """Rows under `COLUMNS`, the newest version first."""
        names = sorted({*self.before, *self.canary, *self.after}, reverse=True)
        return [(name, *(column.get(name, 0) for column in (self.before, self.canary, self.after))) for name in names]

    def troubles(self) -> list[tuple[object, ...]]:
        """Rows under `TROUBLES`, the worst first; at most a dozen."""
        names = ("endpointId", "runningVersion", "problem", "reason")
        return [tuple(item.get(name) for name in names) for item in self.attention[:_MOST_TROUBLES]]

    def sentences(self) -> Iterator[str]:
        """What failed and why, in lines."""
        arrived = f"{self.arrived} of {self.healthy}" if self.arrived < self.healthy else f"All {self.healthy}"
        yield f"{arrived} healthy devices run {self.goal} after {self.seconds:.0f} s."
        for failure in self.failures:
            yield f"{failure.get('endpoints')} failed to install {failure.get('version')}: {failure.get('reason')}"
        if self.explanation:
            yield f"Why {self.explanation.get('endpointId')} does not update: {self.explanation.get('summary')}"
            yield from self._rules()

    def _rules(self) -> Iterator[str]:
        ways = self.explanation.get("path")
        wanted = {self.goal, *(ways if isinstance(ways, list) else [])}
        for software in items(self.explanation, "software"):
            if software.get("version") not in wanted:
                continue
            for rule in items(software, "rules"):
                if rule.get("passed") is False:
                    yield f"  {software.get('version')}: {rule.get('rule')}: {rule.get('detail')}"


def counts(summary: Document) -> dict[str, int]:
    """Endpoints by version, of a summary."""
    versions = section(summary, "byVersion")
    found = {name: number(versions, name) for name in versions}
    unknown = number(summary, "unknownVersion")
    return found | ({"unknown": unknown} if unknown else {})
