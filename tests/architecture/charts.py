"""Renders the chart with Helm's own engine, in a process of its own: a Go runtime brings signal handlers along.

    python -m tests.architecture.charts < {"case": {values}}

Layer: tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.architecture.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

CHART = ROOT / "deploy" / "helm" / "otao"
RELEASE, NAMESPACE = "fleet", "plant"

Values = dict[str, Any]
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What Helm makes of the chart and some values, or why it refuses to."""

    manifests: dict[str, Manifest]
    """By kind; the chart has at most one of each."""
    notes: str
    findings: list[str]
    """What `helm lint --strict` has against it, beyond mere information."""
    refusal: str


def render(cases: Mapping[str, Values]) -> dict[str, Rendered]:
    """Render each case."""
    command = [sys.executable, "-m", "tests.architecture.charts"]
    text = json.dumps(cases)
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, check=False, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {name: _rendered(result) for name, result in json.loads(done.stdout).items()}


def _rendered(result: dict[str, Any]) -> Rendered:
    texts: dict[str, str] = result["texts"]
    documents = [yaml.safe_load(text) for name, text in texts.items() if name.endswith(".yaml")]
    manifests = {document["kind"]: document for document in documents if document}
    assert len(manifests) == sum(document is not None for document in documents)
    notes = "".join(text for name, text in texts.items() if name.endswith("NOTES.txt"))
    return Rendered(manifests=manifests, notes=notes, findings=result["findings"], refusal=result["refusal"])


def main() -> None:
    """Answer on standard output what each case on standard input comes to."""
    import helm_python  # noqa: PLC0415 - only here, not in the process that tests

    results: dict[str, dict[str, object]] = {}
    information = 1
    with helm_python.Chart.load(CHART) as chart:
        for name, values in json.load(sys.stdin).items():
            texts: dict[str, str] = {}
            refusal = ""
            try:
                texts = chart.render(values, name=RELEASE, namespace=NAMESPACE)
            except helm_python.HelmError as error:
                refusal = str(error)
            report = helm_python.lint(CHART, values, strict=True)
            found = [message for message in report["messages"] if message["severity"] > information]
            findings = [f"{message['path']}: {message['error']}" for message in found]
            results[name] = {"texts": texts, "refusal": refusal, "findings": findings}
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
