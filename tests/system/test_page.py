"""The page in a real browser: its numbers are REST's, it lives, and it does nothing that it must not."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from orchestrator import keys
from tests.brokers import Mosquitto
from tests.browsers import visitor
from tests.services import Service, connect, eventually, report, topic
from tests.system.commands import otao

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

FLEET = "/applications/kettle"
REST = "/applications/kettle"

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
"""Playwright's driver leaves its pipes to the collector."""


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto(anonymous=True) as started:
        yield started


@pytest_asyncio.fixture
async def service(broker: Mosquitto) -> AsyncIterator[Service]:
    async with Service(broker) as started:
        yield started


async def fill(service: Service) -> None:
    """Seven endpoints: three versions, two that failed, one that installs, and one that is silent."""
    await service.define()
    await service.put(f"{REST}/endpoints/silent", {})
    async with connect(service.broker, "otao") as client:
        for token, version in (
            ("a", "1.0.0"),
            ("b", "1.0.0"),
            ("c", "1.1.0"),
            ("d", "1.1.0"),
            ("e", "2.0.0"),
            ("f", "0.9.0"),
        ):
            await client.publish(topic(token, "applied/json"), json.dumps({"configId": version}), qos=1)
        for token in ("a", "b"):
            failure = {"configId": "1.1.0", "statusCode": 500, "reasonPhrase": "no room left"}
            await client.publish(topic(token, "applied/json"), json.dumps(failure), qos=1)
        progress = {"configId": "2.0.0", "state": "installing", "percent": 40}
        await client.publish(topic("c", "progress/json"), json.dumps(progress), qos=1)

    async def settled() -> bool:
        summary = await service.get(f"{REST}/summary")
        return bool(summary["endpoints"] == 7 and summary["byState"] == {"offered": 1, "installing": 1, "failed": 2})

    await eventually(settled, "seven endpoints are known")


async def numbers(page: Page, section: str) -> dict[str, int]:
    """The first and the last cell of each line of a table."""
    lines = [line.split("\t") for line in await page.locator(f"{section} tbody tr").all_inner_texts()]
    return {line[0].strip(): int(line[-1].replace(",", "")) for line in lines}


async def test_the_numbers_of_the_page_are_those_of_rest(service: Service) -> None:
    await fill(service)
    async with visitor(service.url) as visiting:
        page = visiting.page
        assert await visiting.go("/") == 200
        summary = await service.get(f"{REST}/summary")
        tiles = [int(text) for text in await page.locator(".tile b").all_inner_texts()]
        states = summary["byState"]
        failed = sum(item["endpoints"] for item in summary["failures"])
        assert tiles == [summary["endpoints"], states["offered"], states["installing"], failed] == [7, 1, 1, 2]
        run = summary["byVersion"] | {"not reported yet": summary["unknownVersion"]}
        assert await numbers(page, "#running") == run
        assert await numbers(page, "#attempts table:first-of-type") == states
        (failure,) = summary["failures"]
        cells = await page.locator("#attempts table").nth(1).locator("tbody td").all_inner_texts()
        assert cells == [failure["version"], failure["reason"], str(failure["endpoints"])]
        graph = await service.get(f"{REST}/graph")
        names = await page.locator("#graph .graph-name").all_text_contents()
        drawn = await page.locator("#graph .graph-number").all_text_contents()
        expected = {node["version"]: str(node["endpoints"]) for node in graph["versions"]} | {"(unknown)": "1"}
        assert dict(zip(names, drawn, strict=True)) == expected
        attention = await service.get(f"{REST}/attention")
        listed = await page.locator("#attention li a").all_inner_texts()
        assert listed == [item["endpointId"] for item in attention["items"]][: len(listed)]
        assert len(listed) >= 2


async def test_a_report_shows_without_a_reload(service: Service) -> None:
    await fill(service)
    async with visitor(service.url) as visiting:
        page = visiting.page
        await visiting.go(FLEET)
        await expect(page.locator("#liveness")).to_have_text("live")
        await page.evaluate("window.unloaded = false; addEventListener('pagehide', () => { window.unloaded = true })")
        await page.fill("#q", "half a word")
        await report(service.broker, "e", "3.0.0")
        await expect(page.locator("#running")).to_contain_text("3.0.0")
        await expect(page.locator("#graph")).to_contain_text("3.0.0")
        assert await page.evaluate("window.unloaded") is False
        assert await page.input_value("#q") == "half a word"
        assert await numbers(page, "#running") == (await service.get(f"{REST}/summary"))["byVersion"] | {
            "not reported yet": 1
        }


async def test_an_endpoints_page_lives_and_keeps_what_was_opened(service: Service) -> None:
    await fill(service)
    async with visitor(service.url) as visiting:
        page = visiting.page
        await visiting.go(f"{FLEET}/endpoints/d")
        await expect(page.locator("#liveness")).to_have_text("live")
        await page.locator("#why summary").last.click()
        await report(service.broker, "d", "2.0.0")
        await expect(page.locator("#history li").first).to_contain_text("2.0.0")
        await expect(page.locator("#why .why")).to_contain_text("Runs 2.0.0")
        await expect(page.locator("#why details").last).to_have_attribute("open", "")
        # A change of software by which no offer changes.
        assert await visiting.go(f"{FLEET}/endpoints/silent") == 200
        await expect(page.locator("#liveness")).to_have_text("live")
        await service.put(f"{REST}/software/9.0.0", {"rolloutStrategy": "suspended", "upgradableFrom": ["8.0.0"]})
        await expect(page.locator("#why")).to_contain_text("9.0.0")


async def test_without_events_the_page_looks_every_few_seconds(service: Service) -> None:
    await fill(service)
    async with visitor(service.url) as visiting:
        await visiting.page.route(re.compile("/events"), lambda route: route.abort())
        await visiting.go(FLEET)
        await report(service.broker, "e", "3.0.0")
        await expect(visiting.page.locator("#running")).to_contain_text("3.0.0")
        await expect(visiting.page.locator("#liveness")).to_have_text("looks every 5 s")
        assert all("ERR_FAILED" in complaint for complaint in visiting.complaints)
        visiting.complaints.clear()


async def test_a_service_that_comes_back_is_shown_again(service: Service) -> None:
    await fill(service)
    async with visitor(service.url) as visiting:
        page = visiting.page
        await visiting.go(FLEET)
        await expect(page.locator("#liveness")).to_have_text("live")
        await service.terminate()
        await expect(page.locator("#liveness")).to_have_text("the service does not answer; trying again")
        await service.start(OTAO_HTTP_LISTEN=service.url.removeprefix("http://"))
        await expect(page.locator("#liveness")).to_have_text("live")
        visiting.complaints.clear()


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_freeze_by_click_stops_offers_and_is_shown_until_lifted(service: Service, scripts: bool) -> None:
    await fill(service)
    async with visitor(service.url, scripts=scripts) as visiting:
        page = visiting.page
        await visiting.go(FLEET)
        await page.get_by_text("Freeze kettle…").click()
        await page.get_by_label("Reason, for the audit").fill("smoke in the lab")
        await page.get_by_role("button", name="Stop all new offers").click()
        banner = page.get_by_role("alert")
        await expect(banner).to_contain_text("kettle is frozen since")
        await expect(banner).to_contain_text("by anonymous: smoke in the lab. No new offer goes out")
        freeze = await service.get(f"{REST}/freeze")
        assert (freeze["frozen"], freeze["reason"]) == (True, "smoke in the lab")
        assert (await service.endpoint("d"))["offer"] is None
        await page.get_by_role("button", name="Lift the freeze").click()
        await expect(banner).to_have_count(0)
        assert not (await service.get(f"{REST}/freeze"))["frozen"]
        await service.until_offered("d", "2.0.0")


async def test_a_freeze_by_somebody_else_shows_by_itself(service: Service) -> None:
    await fill(service)
    async with visitor(service.url) as visiting:
        await visiting.go(FLEET)
        await expect(visiting.page.locator("#liveness")).to_have_text("live")
        await service.put("/freeze", {"reason": "public holiday"}, method="POST")
        await expect(visiting.page.get_by_role("alert")).to_contain_text("All applications are frozen")
        await expect(visiting.page.get_by_role("alert")).to_contain_text("public holiday")


async def stage(service: Service, *waiting: str) -> None:
    """Put 2.1.0 in two stages, the first of which an operator has to approve; endpoints run 2.0.0 and wait for it."""
    await service.put(REST, {"appVersions": ["kettle-v1"], "registration": "open"})
    stages = [{"count": 1, "approval": "manual"}, {"percent": 100}]
    software = {"upgradableFrom": ["2.0.0"], "rolloutStrategy": "general", "specification": {"link": "x"}}
    await service.put(f"{REST}/software/2.1.0", {**software, "rollout": {"stages": stages}})
    async with connect(service.broker, "otao") as client:
        for token in waiting:
            await client.publish(topic(token, "applied/json"), json.dumps({"configId": "2.0.0"}), qos=1)


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_rollout_is_shown_paused_and_resumed_by_click(service: Service, scripts: bool) -> None:
    await stage(service, "a")
    await service.until_offered("a", "2.1.0")
    path = f"{REST}/software/2.1.0/rollout"
    async with visitor(service.url, scripts=scripts) as visiting:
        page, section = visiting.page, visiting.page.locator("#rollouts")
        await visiting.go(FLEET)
        await expect(section).to_contain_text("2.1.0 running stage 1 of 2: nobody was reached yet")
        stages = section.locator("ol.stages > li")
        await expect(stages.first).to_contain_text(re.compile("1 endpoint\\s+running: 1 offered or installing, of 1"))
        await expect(stages.last).to_contain_text(re.compile("100 %\\s+waiting"))
        await section.get_by_text("Pause, Approve, Abort 2.1.0…").click()
        await section.get_by_label("Reason, for the audit").fill("smoke in the lab")
        await section.get_by_role("button", name="Pause").click()
        await expect(section).to_contain_text("paused: smoke in the lab")
        paused = await service.get(path)
        assert (paused["state"], paused["reason"], paused["by"]) == ("paused", "smoke in the lab", "anonymous")
        assert (await service.endpoint("a"))["offer"] is None
        await section.get_by_text("Resume, Abort 2.1.0…").click()
        await section.get_by_role("button", name="Resume").click()
        await expect(section).to_contain_text("running")
        await service.until_offered("a", "2.1.0")
        await section.get_by_text("Pause, Approve, Abort 2.1.0…").click()
        await section.get_by_role("button", name="Abort for good").click()
        await expect(section.locator(".empty")).to_be_visible()
        assert (await service.get(path))["state"] == "aborted"
        await expect(page).to_have_title("kettle · Otao")


async def test_a_rollout_gets_on_by_itself_and_waits_for_approval(service: Service) -> None:
    await stage(service, "a")
    await service.until_offered("a", "2.1.0")
    # Somebody for the second stage, which would otherwise be over as soon as it has begun.
    await report(service.broker, "b", "2.0.0")
    async with visitor(service.url) as visiting:
        section = visiting.page.locator("#rollouts")
        await visiting.go(FLEET)
        await expect(visiting.page.locator("#liveness")).to_have_text("live")
        await report(service.broker, "a", "2.1.0")
        await expect(section).to_contain_text("waiting-approval stage 1 of 2")
        await section.get_by_text("Approve, Pause, Abort 2.1.0…").click()
        await section.get_by_role("button", name="Approve: leave this stage").click()
        await expect(section).to_contain_text("running stage 2 of 2")


async def test_a_rollout_that_was_stopped_for_bad_health_shows_what_endpoints_have_said(service: Service) -> None:
    await service.put(REST, {"appVersions": ["kettle-v1"], "registration": "open"})
    stages = [{"percent": 100, "soak": "PT1H", "maxUnhealthyRate": 0.4, "minAttempted": 1}]
    software = {"upgradableFrom": ["2.0.0"], "rolloutStrategy": "general", "specification": {"link": "x"}}
    await service.put(f"{REST}/software/2.1.0", {**software, "rollout": {"stages": stages}})
    said = {"a": "too hot", "b": "too hot", "c": None}
    async with connect(service.broker, "otao") as client:
        for token, reason in said.items():
            await client.publish(topic(token, "applied/json"), '{"configId":"2.0.0"}', qos=1)
            await service.until_offered(token, "2.1.0")
            await client.publish(topic(token, "applied/json"), '{"configId":"2.1.0"}', qos=1)
            body = {"healthy": False} if reason is None else {"healthy": False, "reason": reason}
            await client.publish(topic(token, "health/json"), json.dumps(body), qos=1)
    path = f"{REST}/software/2.1.0/rollout"
    expected = [
        {"reason": "too hot", "endpoints": 2, "unhealthy": True},
        {"reason": "unhealthy", "endpoints": 1, "unhealthy": True},
    ]

    async def stopped() -> bool:
        shown = await service.get(path)
        return (shown["state"], shown["failures"]) == ("paused", expected)

    await eventually(stopped, "it is paused, and says why")
    async with visitor(service.url, scripts=False) as visiting:
        await visiting.go(FLEET)
        await expect(visiting.page.locator("#rollouts")).to_contain_text("2 unhealthy: too hot; 1 unhealthy: unhealthy")
    shown = await otao(service, "rollout", "show", "2.1.0")
    assert shown.out.splitlines()[-2:] == ["2\tunhealthy\ttoo hot", "1\tunhealthy\tunhealthy"]


async def test_an_approval_leaves_the_stage_that_was_shown_and_no_other(service: Service) -> None:
    await stage(service, "a")
    path = f"{REST}/software/2.1.0/rollout"
    async with visitor(service.url, scripts=False) as visiting:
        section = visiting.page.locator("#rollouts")
        await visiting.go(FLEET)
        await service.put(f"{path}/approve", {}, method="POST")
        await section.get_by_text("2.1.0…").click()
        await section.get_by_role("button", name="Approve: leave this stage").click()
        await expect(section).to_contain_text("running stage 2 of 2")
        assert ((await service.get(path))["state"], (await service.get(path))["stage"]) == ("running", 1)


async def test_whoever_searches_finds_reasons_and_history_and_may_retry(service: Service) -> None:
    await fill(service)
    await service.put(f"{REST}/endpoints/a", {"token": "tok-a"})
    async with visitor(service.url) as visiting:
        page = visiting.page
        await visiting.go(FLEET)
        await page.get_by_label("endpointId or token").fill("tok-a")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("a")
        explanation = await service.get(f"{REST}/endpoints/a/explain")
        assert await page.locator("#why .why").inner_text() == f"R{explanation['summary'][1:]}."
        await expect(page.locator("#why details[open] .failed")).to_contain_text("backOff")
        history = (await service.get(f"{REST}/endpoints/a/history"))["items"]
        lines = await page.locator("#history li strong").all_inner_texts()
        assert lines == [item["kind"] for item in history]
        await page.get_by_role("button", name="Try again what has failed").click()
        await expect(page.locator("#history li").first).to_contain_text("offered")
        await service.until_offered("a", "1.1.0")


async def test_pages_open_with_a_key_and_with_nothing_else(broker: Mosquitto) -> None:
    async with Service(broker) as service, visitor(service.url) as visiting:
        page = visiting.page
        await service.define()
        file = service.folder / "keys"
        await service.terminate()
        key = keys.create(file, "alice", keys.Role.OPERATOR, datetime.now(UTC))
        await service.start(OTAO_API_KEYS_FILE=str(file))
        visiting.origin = service.url
        assert await visiting.go(FLEET) == 200
        await expect(page).to_have_title("Sign in · Otao")
        await page.get_by_label("API key").fill("otao_wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("This is no key of this service.")
        assert [complaint for complaint in visiting.complaints if "403" not in complaint] == []
        visiting.complaints.clear()
        await page.get_by_label("API key").fill(key)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_title("kettle · Otao")
        await expect(page.locator("#liveness")).to_have_text("live")
        (cookie,) = await visiting.context.cookies()
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
        assert key not in str(cookie) + await page.content()
        assert await page.evaluate("document.cookie") == ""
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_title("Sign in · Otao")
        await visiting.go(f"{FLEET}/endpoints")
        await expect(page).to_have_title("Sign in · Otao")


ATTACK = '"\'><img src=/x onerror="window.hit=1"><script>window.hit=1</script>{{7*7}}'


async def test_what_others_write_is_shown_as_text(service: Service) -> None:
    await fill(service)
    attributes = {"note": ATTACK, "deep": {ATTACK: [ATTACK]}}
    await service.put(f"{REST}/endpoints/evil", {"token": "<i>'\"&", "attributes": attributes})
    failure = {"configId": "1.1.0", "statusCode": 500, "reasonPhrase": ATTACK}
    async with connect(service.broker, "otao") as client:
        for message in ({"configId": "1.0.0"}, failure):
            await client.publish(topic("<i>'\"&", "applied/json"), json.dumps(message), qos=1)
    await service.put(f"{REST}/freeze", {"reason": ATTACK}, method="POST")

    async def told() -> bool:
        summary = await service.get(f"{REST}/summary")
        return any(ATTACK in item["reason"] for item in summary["failures"])

    await eventually(told, "the failure is counted")
    async with visitor(service.url) as visiting:
        page = visiting.page
        for path in (FLEET, "/applications", f"{FLEET}/endpoints", f"{FLEET}/endpoints/evil", f"{FLEET}/attention"):
            await visiting.go(path)
            assert await page.evaluate("window.hit") is None
            assert await page.locator("main img, main script, main i").count() == 0
        await visiting.go(FLEET)
        await expect(page.get_by_role("alert")).to_contain_text(ATTACK)
        await expect(page.locator("#attempts")).to_contain_text(ATTACK)
        await visiting.go(f"{FLEET}/endpoints/evil")
        await expect(page.locator("#facts")).to_contain_text("<i>'\"&")
        await expect(page.locator("#history")).to_contain_text(ATTACK)


async def test_the_policy_is_exact_and_in_force(service: Service) -> None:
    await fill(service)
    async with visitor(service.url) as visiting:
        page = visiting.page
        for path in (FLEET, "/applications", "/static/page.js", "/login", f"{FLEET}/endpoints/a", "/applications/gone"):
            response = await visiting.context.request.get(f"{service.url}{path}")
            assert response.headers["content-security-policy"] == "default-src 'self'"
            assert response.headers["x-content-type-options"] == "nosniff"
        await visiting.go(FLEET)
        smuggled = (
            "const s = document.createElement('script'); s.textContent = 'window.hit = 1'; document.body.append(s)"
        )
        await page.evaluate(smuggled)
        assert await page.evaluate("window.hit") is None
        assert len(visiting.complaints) == 1
        assert "Content Security Policy" in visiting.complaints.pop()


@pytest.mark.parametrize("mode", ["light", "dark"])
async def test_a_narrow_screen_shows_everything_without_sideways_scrolling(service: Service, mode: str) -> None:
    await fill(service)
    async with visitor(service.url, width=360, mode="dark" if mode == "dark" else "light") as visiting:
        for path in (FLEET, "/applications", f"{FLEET}/endpoints", f"{FLEET}/endpoints/a", "/applications/gone"):
            await visiting.go(path)
            assert await visiting.page.evaluate("document.documentElement.scrollWidth") <= 360, path
        paper = await visiting.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(247, 247, 249)", "dark": "rgb(17, 18, 20)"}[mode]
        visiting.complaints.clear()


NAMELESS = """[...document.querySelectorAll('input:not([type=hidden]), button')]
    .filter(element => !element.labels?.length && !element.textContent.trim()).length"""


async def test_the_keyboard_and_a_screen_reader_get_everywhere(service: Service) -> None:
    await fill(service)
    async with visitor(service.url) as visiting:
        page = visiting.page
        for path in (FLEET, "/applications", f"{FLEET}/endpoints/a"):
            await visiting.go(path)
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
            assert await page.get_by_role("heading", level=1).count() == 1
            assert await page.get_by_role("main").count() == 1
            assert await page.evaluate(NAMELESS) == 0
            found = await page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
            assert len(found) == len(set(found))
        await visiting.go(FLEET)
        await expect(page.get_by_role("region", name="Upgrade graph").last).to_be_visible()
        await page.locator("#running a").first.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Endpoints on 2.0.0")


async def test_empty_pages_say_what_to_do(service: Service) -> None:
    async with visitor(service.url) as visiting:
        await visiting.go("/")
        await expect(visiting.page.locator("main")).to_contain_text("otao apply -f catalogue.yaml")
        await service.put(REST, {"appVersions": ["kettle-v1"], "registration": "open"})
        await visiting.go("/")
        for section in ("#running", "#attempts", "#rollouts", "#attention", "#graph"):
            await expect(visiting.page.locator(f"{section} .empty")).to_be_visible()
        await report(service.broker, "a", "1.0.0")
        await expect(visiting.page.locator("#running")).to_contain_text("1.0.0")
