"""The REST reference's examples are run in their order and answered as it says."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.architecture.sources import ROOT

if TYPE_CHECKING:
    import httpx2

    from tests.system.rests import Rest

REFERENCE = ROOT / "docs/reference/rest-api.md"
STEP = re.compile(
    r"^```http\n(?P<request>.*?)\n```$"
    r"|^```json answer=(?P<status>\d+)\n(?P<answer>.*?)\n```$"
    r"|^<!-- (?P<endpoint>\S+) reports (?P<version>[^ \n]+)(?: as failed with (?P<code>\d+): (?P<reason>.+))? -->$",
    re.MULTILINE | re.DOTALL,
)


async def request(rest: Rest, text: str) -> httpx2.Response:
    head, _, body = text.partition("\n\n")
    first, *headers = head.splitlines()
    method, path = first.split()
    named = dict(line.split(": ", 1) for line in headers)
    return await rest.send(method, path, body.encode() or None, **named)


async def test_the_examples_of_the_reference_are_answered_as_it_says(rest: Rest) -> None:
    answer: httpx2.Response | None = None
    answered = 0
    for step in STEP.finditer(REFERENCE.read_text()):
        if step["request"] is not None:
            answer = await request(rest, step["request"])
            assert answer.status_code < 400, (step["request"], answer.text)
        elif step["endpoint"] is not None:
            await rest.report(step["endpoint"], step["version"], int(step["code"] or 200), step["reason"])
        else:
            assert answer is not None
            assert answer.status_code == int(step["status"]), answer.text
            assert answer.json() == json.loads(step["answer"])
            answered += 1
    assert answered >= 10


async def test_every_path_that_is_served_is_in_the_reference(rest: Rest) -> None:
    listed = REFERENCE.read_text().partition("## Rules")[0]
    for path in (await rest.get("/api/v1/openapi.json"))["paths"]:
        shown = (
            path.removeprefix("/api/v1").replace("{filter_id}", "{filterId}").replace("{endpoint_id}", "{endpointId}")
        )
        last = "…/" + shown.rpartition("/")[2]
        assert f"`{shown}`" in listed or f"`{last}`" in listed, path
