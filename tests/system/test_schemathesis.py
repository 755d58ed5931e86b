"""Requests made from the OpenAPI document, well-formed and malformed: the service answers as the document says."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from tests.brokers import ROOT, Mosquitto
from tests.services import Service
from tests.system.schemathesis_hooks import THERE

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 300.0
EXAMPLES = 12
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
)
ENDLESS = r"/events$"
"""Streams: they do not end, and have tests of their own."""


async def populate(service: Service) -> None:
    """Define what the hooks name, with an endpoint that has an offer and a history."""
    await service.define(THERE["app"])
    await service.put(f"/applications/{THERE['app']}/filters/{THERE['filter_id']}", {"expression": "attributes.a == 1"})
    path = f"/applications/{THERE['app']}/endpoints/{THERE['endpoint_id']}"
    await service.put(path, {"attributes": {"a": 1}})
    for _ in range(3):
        await service.put(f"{path}/retry", {}, method="POST")


async def test_requests_of_every_kind_are_answered_as_the_document_says(tmp_path: Path) -> None:
    async with Mosquitto() as broker, Service(broker) as service:
        await populate(service)
        report = tmp_path / "report"
        with report.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "schemathesis.cli",
                "run",
                f"{service.url}/api/v1/openapi.json",
                "--phases=examples,coverage,fuzzing",
                f"--checks={','.join(CHECKS)}",
                f"--max-examples={EXAMPLES}",
                "--generation-deterministic",
                f"--exclude-path-regex={ENDLESS}",
                "--suppress-health-check=all",
                "--request-timeout=10",
                "--no-color",
                cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.system.schemathesis_hooks"},
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
            code = await asyncio.wait_for(process.wait(), SECONDS)
        told = report.read_text()
        assert code == 0, told
        assert " passed" in told
        assert await service.metric("otao_http_failures_total") == 0
        # After all that it still serves.
        await service.ready()
