"""An application's graph and numbers over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from tests.system.rests import Rest


async def fill(rest: Rest) -> None:
    await add_application(rest)
    await add_software(rest, "1.0.0", rolloutStrategy="suspended")
    await add_software(rest, "1.1.0", "1.0.0")
    await add_software(rest, "2.0.0", "1.1.0")
    for endpoint_id, running in (("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.1.0"), ("d", None), ("e", "0.9.0")):
        await add_endpoint(rest, endpoint_id, running)
    await rest.report("a", "1.1.0", 500, "no room left")


async def test_the_summary_counts_every_endpoint_once(rest: Rest) -> None:
    await fill(rest)
    assert await rest.get(f"{KETTLE}/summary") == {
        "endpoints": 5,
        "byVersion": {"1.1.0": 1, "1.0.0": 2, "0.9.0": 1},
        "unknownVersion": 1,
        "unseen": None,
        "frozen": None,
        "byState": {"offered": 2, "failed": 1},
        "failures": [{"version": "1.1.0", "reason": "no room left", "endpoints": 1}],
    }


async def test_the_graph_has_versions_that_are_defined_or_run(rest: Rest) -> None:
    await fill(rest)
    graph = await rest.get(f"{KETTLE}/graph")
    assert [(node["version"], node["endpoints"], node["defined"], node["reachable"]) for node in graph["versions"]] == [
        ("0.9.0", 1, False, True),
        ("1.0.0", 2, True, True),
        ("1.1.0", 1, True, True),
        ("2.0.0", 0, True, True),
    ]
    assert graph["edges"] == [
        {"from": "1.0.0", "to": "1.1.0", "offered": 1, "failed": 1},
        {"from": "1.1.0", "to": "2.0.0", "offered": 1, "failed": 0},
    ]


async def test_an_edge_from_the_unknown_version_has_no_source(rest: Rest) -> None:
    await add_application(rest)
    await add_software(rest, "1.0.0", "*")
    await add_endpoint(rest, "a")
    graph = await rest.get(f"{KETTLE}/graph")
    assert graph["edges"] == [{"from": None, "to": "1.0.0", "offered": 1, "failed": 0}]


async def test_offers_of_stopped_software_count_as_withdrawn_before_they_are_swept(rest: Rest) -> None:
    await fill(rest)
    await rest.send("POST", f"{KETTLE}/software/2.0.0/recall")
    assert (await rest.get(f"{KETTLE}/summary"))["byState"] == {"offered": 1, "failed": 1, "withdrawn": 1}
    edges = {edge["to"]: edge["offered"] for edge in (await rest.get(f"{KETTLE}/graph"))["edges"]}
    assert edges == {"1.1.0": 1, "2.0.0": 0}
    before = await rest.get(f"{KETTLE}/summary")
    await rest.sweep()
    assert await rest.get(f"{KETTLE}/summary") == before


async def test_an_empty_application_has_zeros(rest: Rest) -> None:
    await add_application(rest)
    assert await rest.get(f"{KETTLE}/summary") == {
        "endpoints": 0,
        "byVersion": {},
        "unknownVersion": 0,
        "unseen": None,
        "frozen": None,
        "byState": {},
        "failures": [],
    }
    assert await rest.get(f"{KETTLE}/graph") == {"versions": [], "edges": []}
    for view in ("summary", "graph"):
        assert await rest.refused("GET", f"/api/v1/applications/other/{view}") == (404, "application-not-found")


@pytest.mark.parametrize(
    ("form", "media_type", "beginning"),
    [
        ("json", "application/json", '{"versions":['),
        ("text", "text/plain; charset=utf-8", "╭─"),
        ("dot", "text/vnd.graphviz; charset=utf-8", "digraph upgrades {\n"),
        ("svg", "image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"'),
    ],
)
async def test_the_graph_may_be_had_as_a_drawing(rest: Rest, form: str, media_type: str, beginning: str) -> None:
    await fill(rest)
    response = await rest.send("GET", f"{KETTLE}/graph?format={form}")
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert response.headers["cache-control"] == "no-store"
    assert response.text.lstrip().startswith(beginning)
    for version in ("0.9.0", "1.0.0", "1.1.0", "2.0.0"):
        assert version in response.text
    if form != "json":
        assert "1 offered, 1 failed" in response.text


async def test_an_unknown_form_of_the_graph_is_refused(rest: Rest) -> None:
    await fill(rest)
    assert await rest.refused("GET", f"{KETTLE}/graph?format=png") == (400, "parameter-invalid")
    assert await rest.refused("GET", "/api/v1/applications/gone/graph?format=svg") == (404, "application-not-found")
