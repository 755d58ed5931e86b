"""The pages of endpoints: searching, listing, reasons, history, trying again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application.audits import Action
from orchestrator.dashboard import endpoints
from orchestrator.domain.endpoints import HistoryKind
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software
from tests.unit.orchestrator.dashboard.visits import post, visit

if TYPE_CHECKING:
    from tests.system.rests import Rest

ITEMS = 4
ENDPOINTS = "/applications/smart-kettle/endpoints"


async def fill(rest: Rest) -> None:
    await add_application(rest)
    await add_software(rest, "1.0.0", rolloutStrategy="suspended")
    await add_software(rest, "1.1.0", "1.0.0")
    await add_endpoint(rest, "kettle-7", "1.0.0", token="tok7", attributes={"site": "lab", "ring": 1})
    await add_endpoint(rest, "lamp-1")


@pytest.mark.parametrize("search", ["kettle-7", "tok7", "  tok7  "])
async def test_a_search_by_id_or_token_leads_to_the_endpoint(rest: Rest, search: str) -> None:
    await fill(rest)
    answer = await rest.client.get(ENDPOINTS, params={"q": search})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ENDPOINTS}/kettle-7")


@pytest.mark.parametrize("search", ["kettle", "TOK7", "a/b", "<b>", "☃", "%"])
async def test_a_search_that_finds_nothing_says_what_was_sought(rest: Rest, search: str) -> None:
    await fill(rest)
    response = await rest.client.get(ENDPOINTS, params={"q": search})
    assert response.status_code == 200
    assert "<b>" not in response.text
    page = await visit(rest, str(response.url).removeprefix("http://localhost"))
    assert f"the endpointId or the token {search}." in page.text


async def test_the_page_of_an_endpoint_listens_to_all_that_may_happen_to_one(rest: Rest) -> None:
    await fill(rest)
    (body,) = [item for item in (await visit(rest, f"{ENDPOINTS}/kettle-7")).elements if item.tag == "body"]
    listened = (body.attributes["data-events"] or "").partition("types=")[2].split(",")
    moves = {Action.ROLLOUT_PAUSE, Action.ROLLOUT_ADVANCE, Action.SOFTWARE_RECALL, Action.FREEZE_SET}
    assert {f"endpoint.{kind.value}" for kind in HistoryKind} | {action.value for action in moves} <= set(listened)


async def test_the_list_is_paged_and_filtered(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "ITEMS", ITEMS)
    await fill(rest)
    for number in range(ITEMS):
        await add_endpoint(rest, f"e{number:03}", "1.1.0")
    first = await visit(rest, ENDPOINTS)
    (following,) = [link for link in first.links() if "cursor=" in link]
    second = await visit(rest, following)
    shown = [{link for link in page.links() if link.startswith(f"{ENDPOINTS}/")} for page in (first, second)]
    assert (len(shown[0]), len(shown[1]), shown[0] & shown[1]) == (ITEMS, 2, set())
    filtered = await visit(rest, f"{ENDPOINTS}?version=1.0.0&state=offered")
    assert f"{ENDPOINTS}/kettle-7" in filtered.links()
    assert "Endpoints on 1.0.0, latest offer offered" in filtered.text
    unknown = await visit(rest, f"{ENDPOINTS}?version=unknown")
    assert [link for link in unknown.links() if link.startswith(f"{ENDPOINTS}/")] == [f"{ENDPOINTS}/lamp-1"]
    assert "There is none" in (await visit(rest, f"{ENDPOINTS}?version=9.9.9")).text


@pytest.mark.parametrize(
    ("query", "status"), [("version=x", 422), ("state=x", 400), ("cursor=x", 400), ("colour=x", 400)]
)
async def test_what_cannot_be_asked_is_a_page_that_says_so(rest: Rest, query: str, status: int) -> None:
    await fill(rest)
    await visit(rest, f"{ENDPOINTS}?{query}", status)


async def test_an_endpoint_says_everything_and_every_rule(rest: Rest) -> None:
    await fill(rest)
    explanation = await rest.get(f"{KETTLE}/endpoints/kettle-7/explain")
    page = await visit(rest, f"{ENDPOINTS}/kettle-7")
    assert f"R{explanation['summary'][1:]}." in page.text
    assert "1.0.0 1.1.0" in page.text
    for software in explanation["software"]:
        for rule in software["rules"]:
            word = "passed" if rule["passed"] else "failed"
            assert f"{word}: {rule['rule']} {rule['detail']}" in page.text
    for part in ("Token tok7", 'ring 1 site "lab"', "Application version smart-kettle-v1", "Last heard 2026-03-01"):
        assert part in page.text
    assert "offered 1.1.0" in page.text


async def test_history_is_paged(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "ITEMS", ITEMS)
    await fill(rest)
    for _ in range(ITEMS):
        await rest.report("kettle-7", "1.0.0")
        await rest.report("kettle-7", "1.0.1")
    whole = (await rest.get(f"{KETTLE}/endpoints/kettle-7/history?limit=500"))["items"]
    seen, path = 0, f"{ENDPOINTS}/kettle-7"
    for _ in range(len(whole) // ITEMS + 1):
        page = await visit(rest, path)
        seen += page.text.partition("History")[2].count(" UTC ")
        older = [link for link in page.links() if "cursor=" in link]
        if not older:
            break
        (path,) = older
    assert seen == len(whole) > ITEMS


async def test_nothing_has_happened_yet(rest: Rest) -> None:
    await fill(rest)
    page = await visit(rest, f"{ENDPOINTS}/lamp-1")
    assert "Nothing has happened yet" in page.text
    assert "unknown: it has not reported" in page.text
    assert "Last heard never" in page.text


async def test_a_form_has_it_try_again(rest: Rest) -> None:
    await fill(rest)
    await rest.report("kettle-7", "1.1.0", 500, "no room left")
    assert "backOff" in (await visit(rest, f"{ENDPOINTS}/kettle-7")).text
    answer = await post(rest, f"{ENDPOINTS}/kettle-7/retry", reason="cleaned up")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ENDPOINTS}/kettle-7")
    assert (await rest.get(f"{KETTLE}/endpoints/kettle-7"))["offer"]["version"] == "1.1.0"
    (audited,) = (await rest.get(f"{KETTLE}/audit?limit=1"))["items"]
    assert (audited["action"], audited["reason"]) == ("endpoint.retry", "cleaned up")


async def test_an_endpoint_that_is_not_there_is_a_page_too(rest: Rest) -> None:
    await fill(rest)
    assert "there is no endpoint" in (await visit(rest, f"{ENDPOINTS}/gone", 404)).text
    assert (await post(rest, f"{ENDPOINTS}/gone/retry", do="x")).status_code == 404


async def test_what_endpoints_and_operators_write_is_text(rest: Rest) -> None:
    await fill(rest)
    attack = '"><img src=x onerror=alert(1)><script>alert(1)</script>'
    await add_endpoint(rest, "evil", "1.0.0", token="<b>'\"&", attributes={"a": attack, "b": {"</code>": [attack]}})
    await rest.report("evil", "1.1.0", 500, attack)
    for path in (f"{ENDPOINTS}/evil", ENDPOINTS, "/applications/smart-kettle"):
        response = await rest.client.get(path)
        assert "<img src=x" not in response.text
        assert "<script>" not in response.text
        page = await visit(rest, path)
        assert [item.attributes.get("src") for item in page.elements if item.tag == "script"] == ["/static/page.js"]
        assert not [name for item in page.elements for name in item.attributes if name.startswith("on")]
    assert attack in (await visit(rest, f"{ENDPOINTS}/evil")).text
    assert "<b>'\"&" in (await visit(rest, f"{ENDPOINTS}/evil")).text
