"""Endpoints that need attention, as operators ask for them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.api import attentions
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from tests.system.rests import Rest


async def fleet(rest: Rest) -> None:
    """One endpoint that is exhausted, one that failed once, one that was never heard, one that is well."""
    await add_application(rest)
    await add_software(rest, "1.1.0", "1.0.0", rollout={"attempts": {"max": 2, "backoff": "PT1M"}})
    for name in ("worst", "bad", "well"):
        await add_endpoint(rest, name, "1.0.0")
    await add_endpoint(rest, "new")
    await rest.report("worst", "1.1.0", 507, "no room left")
    rest.clock.pass_by(timedelta(minutes=2))
    await rest.report("worst", "1.0.0")
    for name in ("worst", "bad"):
        await rest.report(name, "1.1.0", 507, "no room left")


async def test_the_worst_come_first_with_reason_and_advice(rest: Rest) -> None:
    await fleet(rest)
    answer = await rest.get(f"{KETTLE}/attention")
    assert [(item["endpointId"], item["problem"], item["severity"]) for item in answer["items"]] == [
        ("worst", "exhausted", 90),
        ("bad", "failed", 50),
        ("new", "version-unknown", 20),
    ]
    assert answer["items"][0] == {
        "endpointId": "worst",
        "token": "worst",
        "runningVersion": "1.0.0",
        "severity": 90,
        "problem": "exhausted",
        "reason": "1.1.0 failed here 2 times and is not offered any more, last: no room left",
        "advice": "remove the cause, then `otao endpoint retry worst`",
        "since": "2026-03-01T12:02:00Z",
    }
    assert answer["next"] is None
    for item in answer["items"]:
        attentions.Attention.model_validate(item)


async def test_an_endpoint_leaves_the_list_when_its_trouble_is_over(rest: Rest) -> None:
    await fleet(rest)
    await rest.send("POST", f"{KETTLE}/endpoints/worst/retry")
    await rest.report("worst", "1.1.0")
    await rest.report("new", "1.1.0")
    assert [item["endpointId"] for item in (await rest.get(f"{KETTLE}/attention"))["items"]] == ["bad"]


async def test_the_list_goes_on_where_it_ended(rest: Rest) -> None:
    await fleet(rest)
    found, path = [], f"{KETTLE}/attention?limit=1"
    while path:
        response = await rest.send("GET", path)
        found += [item["endpointId"] for item in response.json()["items"]]
        link = response.headers.get("link", "")
        path = link.partition(">")[0].removeprefix("<")
        assert bool(path) == (response.json()["next"] is not None)
    assert found == ["worst", "bad", "new"]


async def test_a_cursor_of_another_list_is_refused(rest: Rest) -> None:
    await fleet(rest)
    other = (await rest.get(f"{KETTLE}/endpoints?limit=1"))["next"]
    assert await rest.refused("GET", f"{KETTLE}/attention?cursor={other}") == (400, "cursor-invalid")
    assert await rest.refused("GET", "/api/v1/applications/none/attention") == (404, "application-not-found")
